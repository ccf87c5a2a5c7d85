//! What a presented refresh token brings about: a successor, the active token once more, or the end of the session.
//!
//! Contract section 6. The caller holds the session row's lock, asks [`decide`], writes the new [`State`] if there is
//! one (its form in the row is the counter and a [`Marker`]), and answers with the active token. Tokens count up by one
//! with each rotation, so the whole family is one number: the *active* token, its *parent* (one less), its
//! *grandparent* (two less).
//!
//! # What honest clients need
//!
//! Several tabs and a server share one storage without a common lock, and any of them may lose an answer.
//! - The parent gets the active token again, at any time: that the parent comes means that nobody has shown to have
//!   received the active one (a client crashed before saving it).
//! - The counter moves at most once in a reuse interval: an active token that is younger gets itself again. So a tab that
//!   needs less than half an interval from reading the storage to writing it back is at most one rotation late.
//! - Within the interval after a rotation the grandparent gets the active token too: a tab may have read it as the parent
//!   of the token that has just been rotated away.
//!
//! These three suffice, and each is needed: `model.rs` goes through every interleaving.
//!
//! # What stops a thief
//!
//! Any older token ends the session at once, within the interval as well. The newest two let a thief in, as the
//! contract accepts; but thief and victim then share one chain, and as soon as one of them is two rotations ahead, the
//! other's next try ends it for both. A thief in step with the victim shows only as parent reuse from elsewhere: report
//! [`Reuse::Parent`] when its device or address differ.
//! An elevation (a verified second factor) cuts off everything before it, so that an older token never becomes a session
//! of the higher level.

use std::fmt;
use std::str::FromStr;

/// The counter of a new session's first token.
pub const FIRST: u64 = 0;

/// The counter that the parent of an imported session's active token counts as.
pub const IMPORTED_PARENT: u64 = 0;

/// The counter that an imported session's active token counts as. Imported tokens before its parent are theft outright.
pub const IMPORTED_ACTIVE: u64 = 1;

/// Where a session's chain of tokens stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The counter of the active token.
    pub active: u64,
    /// No token below this counter is ever answered again: the active one at the last elevation.
    pub floor: u64,
    /// When the active token came about by rotation or elevation, in Unix seconds; `None` for a session's first one.
    pub advanced_at: Option<i64>,
}

impl State {
    /// A new session.
    pub const fn first() -> Self {
        Self { active: FIRST, floor: FIRST, advanced_at: None }
    }

    /// A session whose tokens were imported.
    pub const fn imported() -> Self {
        Self { active: IMPORTED_ACTIVE, floor: IMPORTED_PARENT, advanced_at: None }
    }

    /// After a second factor was verified: the counter jumps by two, so no token of before is the new one's parent.
    #[must_use]
    pub const fn elevated(self, now: i64) -> Self {
        let active = self.active.saturating_add(2);
        Self { active, floor: active, advanced_at: Some(now) }
    }

    /// After a rotation from the token with this counter.
    const fn rotated_from(self, counter: u64, now: i64) -> Self {
        Self { active: counter.saturating_add(1), floor: self.floor, advanced_at: Some(now) }
    }

    /// Whether the active token is younger than the interval. A clock that was set back counts as no time.
    fn is_within(self, interval: i64, now: i64) -> bool {
        self.advanced_at.is_some_and(|at| now.saturating_sub(at) < interval)
    }
}

/// The configured rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long after a rotation late requests still count as simultaneous, in seconds; 0 turns that off.
    pub reuse_interval: i64,
    /// Whether theft ends the session (the setting "refresh token rotation"); otherwise the token is only refused.
    pub revoke_on_theft: bool,
}

/// What to do with a presented token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write this state and answer with the token of its `active` counter.
    Rotate(State),
    /// Leave the state and answer with the active token.
    ReturnActive(Reuse),
    /// 400 `refresh_token_already_used`; the session lives on.
    Refuse,
    /// 400 `refresh_token_already_used`; delete the session and raise a security event.
    Theft,
}

/// Why the active token is answered again: the header `sb-auth-refresh-token-reuse-cause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// The active token itself came, younger than the interval.
    Recent,
    /// Its direct parent came: at any time.
    Parent,
    /// Its grandparent came within the interval.
    Interval,
}

/// Judges a token that we issued for this session (`counter` comes from its verified MAC).
///
/// A counter ahead of the state is of a rotation that the database has lost, by a failover or a restored backup. Such a
/// token is newer than all that the database knows, so it rotates like the active one.
pub fn decide(state: State, counter: u64, now: i64, rules: Rules) -> Decision {
    let within = state.is_within(rules.reuse_interval, now);
    if counter < state.floor {
        // A request that was on its way during the elevation is refused, and no alarm raised for it.
        let overtaken = state.active == state.floor && counter.saturating_add(2) == state.floor;
        return if overtaken && within { Decision::Refuse } else { rules.theft() };
    }
    match state.active.checked_sub(counter) {
        Some(0) if within => Decision::ReturnActive(Reuse::Recent),
        None | Some(0) => Decision::Rotate(state.rotated_from(counter, now)),
        Some(1) => Decision::ReturnActive(Reuse::Parent),
        Some(2) if within => Decision::ReturnActive(Reuse::Interval),
        Some(_) => rules.theft(),
    }
}

impl Rules {
    const fn theft(self) -> Decision {
        if self.revoke_on_theft { Decision::Theft } else { Decision::Refuse }
    }
}

/// What the column `auth.sessions.refresh_token_hmac_key` holds in place of a key.
///
/// With the column `refresh_token_counter` it is the whole [`State`]. Its text form is
/// `gf1.<generation>.<floor>.<advanced_at>`, the last `-` for none. The key itself derives from the root secret; any
/// other text is a foreign server's, and the session's tokens are none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The generation of the session's MAC key.
    pub generation: u32,
    /// [`State::floor`].
    pub floor: u64,
    /// [`State::advanced_at`].
    pub advanced_at: Option<i64>,
}

/// The column holds no marker of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a marker of a refresh token key")]
pub struct ForeignMarker;

impl Marker {
    /// The marker to write with a state, beside its counter.
    pub const fn new(generation: u32, state: State) -> Self {
        Self { generation, floor: state.floor, advanced_at: state.advanced_at }
    }

    /// The state of a session whose counter column holds `active`.
    pub const fn state(self, active: u64) -> State {
        State { active, floor: self.floor, advanced_at: self.advanced_at }
    }
}

impl FromStr for Marker {
    type Err = ForeignMarker;

    fn from_str(text: &str) -> Result<Self, ForeignMarker> {
        let mut parts = text.strip_prefix("gf1.").ok_or(ForeignMarker)?.splitn(3, '.');
        let mut part = || parts.next().ok_or(ForeignMarker);
        Ok(Self {
            generation: part()?.parse().map_err(|_| ForeignMarker)?,
            floor: part()?.parse().map_err(|_| ForeignMarker)?,
            advanced_at: match part()? {
                "-" => None,
                seconds => Some(seconds.parse().map_err(|_| ForeignMarker)?),
            },
        })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gf1.{}.{}.", self.generation, self.floor)?;
        match self.advanced_at {
            Some(seconds) => write!(f, "{seconds}"),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { reuse_interval: 10, revoke_on_theft: true };
    const NO_INTERVAL: Rules = Rules { reuse_interval: 0, revoke_on_theft: true };
    /// Five rotations, the last at 1000 seconds.
    const FIFTH: State = State { active: 5, floor: 0, advanced_at: Some(1000) };

    fn rotated(active: u64, now: i64) -> Decision {
        Decision::Rotate(State { active, floor: 0, advanced_at: Some(now) })
    }

    #[test]
    fn each_ancestor_has_its_rule() {
        use Decision::{ReturnActive, Theft};
        for (counter, within, later) in [
            (5, ReturnActive(Reuse::Recent), rotated(6, 1010)),
            (4, ReturnActive(Reuse::Parent), ReturnActive(Reuse::Parent)),
            (3, ReturnActive(Reuse::Interval), Theft),
            (2, Theft, Theft),
            (0, Theft, Theft),
        ] {
            assert_eq!(decide(FIFTH, counter, 1009, RULES), within, "{counter} within the interval");
            assert_eq!(decide(FIFTH, counter, 1010, RULES), later, "{counter} after the interval");
        }
    }

    #[test]
    fn without_an_interval_every_active_token_rotates() {
        assert_eq!(decide(FIFTH, 5, 1000, NO_INTERVAL), rotated(6, 1000));
        assert_eq!(decide(FIFTH, 4, 1000, NO_INTERVAL), Decision::ReturnActive(Reuse::Parent));
        assert_eq!(decide(FIFTH, 3, 1000, NO_INTERVAL), Decision::Theft);
    }

    #[test]
    fn the_first_token_rotates_right_after_login() {
        assert_eq!(decide(State::first(), FIRST, 1000, RULES), rotated(1, 1000));
    }

    #[test]
    fn without_rotation_theft_is_refused_and_the_session_lives_on() {
        let rules = Rules { revoke_on_theft: false, ..RULES };
        assert_eq!(decide(FIFTH, 2, 2000, rules), Decision::Refuse);
        assert_eq!(decide(FIFTH, 5, 2000, rules), rotated(6, 2000));
    }

    #[test]
    fn an_elevation_cuts_off_every_token_of_before() {
        let elevated = FIFTH.elevated(2000);
        assert_eq!(elevated, State { active: 7, floor: 7, advanced_at: Some(2000) });
        assert_eq!(decide(elevated, 5, 2009, RULES), Decision::Refuse, "on its way during the elevation");
        assert_eq!(decide(elevated, 5, 2010, RULES), Decision::Theft);
        assert_eq!(decide(elevated, 4, 2009, RULES), Decision::Theft);
        assert_eq!(decide(elevated, 7, 2009, RULES), Decision::ReturnActive(Reuse::Recent));
    }

    #[test]
    fn an_elevation_stays_a_border_after_the_next_rotation() {
        let Decision::Rotate(next) = decide(FIFTH.elevated(2000), 7, 2010, RULES) else {
            panic!("not rotated")
        };
        assert_eq!(next, State { active: 8, floor: 7, advanced_at: Some(2010) });
        assert_eq!(decide(next, 7, 9000, RULES), Decision::ReturnActive(Reuse::Parent));
        assert_eq!(decide(next, 5, 2011, RULES), Decision::Theft);
    }

    #[test]
    fn an_imported_token_is_replaced_and_still_answered_as_the_parent() {
        let imported = State::imported();
        assert_eq!(decide(imported, IMPORTED_PARENT, 1000, RULES), Decision::ReturnActive(Reuse::Parent));
        let replaced = State { active: 2, floor: 0, advanced_at: Some(1000) };
        assert_eq!(decide(imported, IMPORTED_ACTIVE, 1000, RULES), Decision::Rotate(replaced));
        assert_eq!(decide(replaced, IMPORTED_ACTIVE, 9000, RULES), Decision::ReturnActive(Reuse::Parent));
        assert_eq!(decide(replaced, IMPORTED_PARENT, 9000, RULES), Decision::Theft);
    }

    #[test]
    fn a_token_ahead_of_a_restored_database_rotates() {
        assert_eq!(decide(FIFTH, 8, 1001, RULES), rotated(9, 1001));
    }

    #[test]
    fn a_clock_set_back_logs_nobody_out() {
        assert_eq!(decide(FIFTH, 3, -9000, RULES), Decision::ReturnActive(Reuse::Interval));
        assert_eq!(decide(FIFTH, 5, i64::MIN, RULES), Decision::ReturnActive(Reuse::Recent));
        assert_eq!(decide(FIFTH, 2, -9000, RULES), Decision::Theft);
    }

    #[test]
    fn markers_come_back_and_foreign_keys_do_not_pass_for_one() {
        for (state, text) in [(State::first(), "gf1.3.0.-"), (FIFTH.elevated(2000), "gf1.3.7.2000")] {
            let marker = Marker::new(3, state);
            assert_eq!(marker.to_string(), text);
            assert_eq!(text.parse(), Ok(marker));
            assert_eq!(marker.state(state.active), state);
        }
        for foreign in ["", "gf1.", "gf1.3", "gf1.3.4", "gf1.x.1.-", "gf1.3.4.5.6", "gf1.-1.0.-", "c2VjcmV0"]
        {
            assert_eq!(foreign.parse::<Marker>(), Err(ForeignMarker), "{foreign}");
        }
    }
}
