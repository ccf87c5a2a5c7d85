//! The model check of [`decide`](super::decide): every interleaving of three tabs and a thief, not a sample of them.
//!
//! # The state space
//!
//! One session. Its server part is the age of the active token in ticks, up to [`PAST`]. Tokens are told apart by their
//! *lag*: how many rotations the active one is ahead; lags beyond [`OLD`] are judged alike and are not told apart. So the
//! space is finite though schedules are endless, and a search with a visited set covers schedules of every length.
//!
//! Three tabs share one storage without a lock: the worst case of auth-js, as with a browser beside a rendering server.
//! Each is idle, has read a token, has sent it, or has an answer that it has not saved yet. From every phase it may lose
//! what it has, at any time and any number of times: a lost request, a lost answer, a crash before saving, the crash of
//! the whole client (all three lose). A request that is served though its tab is gone is served first and lost then.
//!
//! The thief copies any token in storage or on its way, at any moment, once, and presents it at any later moments; once
//! served, it has the active token and goes on with that.
//!
//! # What is assumed of honest clients
//!
//! A tab takes some time from reading to saving, and twice that time is shorter than the reuse interval: two ticks
//! here, and five. With an interval tabs then refresh whenever they like. Without one (interval 0) they refresh only when
//! the stored access token is due, as auth-js does by its timer, and the same holds for an access token's life. A client
//! that is slower and meets two rotations in between cannot be told from a thief.

use std::collections::HashSet;

use super::{Decision, Reuse, Rules, State, decide};

/// Any lag from here on.
const OLD: u8 = 4;
/// Ticks after which a reuse interval is past and an access token due.
const PAST: u8 = 5;
/// Ticks that a tab has from reading to saving.
const PASSAGE: u8 = 2;
/// Seconds in a tick.
const TICK: i64 = 10;
/// The present of every step: only differences count.
const NOW: i64 = 1_000_000;
/// The active counter of every state: only differences count.
const ACTIVE: u64 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    /// Ticks since the last rotation.
    age: u8,
    storage: Stored,
    tabs: [Tab; 3],
    thief: Thief,
}

/// A refresh token with the access token that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Stored {
    lag: u8,
    /// The access token's age in ticks; it stays 0 where nobody asks for it.
    access: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Tab {
    Idle,
    /// Has read a token from the storage, `ticks` ago.
    Read {
        lag: u8,
        ticks: u8,
    },
    /// Its request is on the way.
    Sent {
        lag: u8,
        ticks: u8,
    },
    /// The answer is on the way, or received and not saved.
    Answered {
        answer: Stored,
        ticks: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Thief {
    Waiting,
    Holds(u8),
    /// Has been served, and holds the token of the answer.
    Served(u8),
}

/// What the server made of a request.
enum Served {
    Answer(World),
    /// The session is over: no token of it is served again.
    Revoked,
    Refused,
}

/// The broken promise, and where.
#[derive(Debug, PartialEq, Eq)]
enum Violation {
    /// A tab was refused although no thief was ever served.
    LoggedOut(World),
    /// A thief with a token two rotations old, past the interval, did not end the session.
    OldTokenServed(World),
    /// Two tokens at once would each get a successor.
    TwoFamilies(World),
}

#[derive(Debug, Default)]
struct Explored {
    states: usize,
    transitions: usize,
    /// Transitions that ended the session.
    revocations: usize,
}

type Judge = fn(State, u64, i64, Rules) -> Decision;

struct Model {
    judge: Judge,
    rules: Rules,
    /// Whether tabs refresh before the access token is due.
    eager: bool,
}

impl Model {
    fn new(judge: Judge, interval_ticks: i64) -> Self {
        let rules = Rules { reuse_interval: interval_ticks * TICK, revoke_on_theft: true };
        Self { judge, rules, eager: interval_ticks > 0 }
    }

    /// Visits every state that can be reached, and takes every step out of each once.
    fn explore(&self) -> Result<Explored, Violation> {
        let start = World {
            age: PAST,
            storage: Stored { lag: 0, access: if self.eager { 0 } else { PAST } },
            tabs: [Tab::Idle; 3],
            thief: Thief::Waiting,
        };
        let mut seen = HashSet::from([start]);
        let mut open = vec![start];
        let mut explored = Explored::default();
        let mut next = Vec::new();
        while let Some(world) = open.pop() {
            self.check_families(&world)?;
            self.steps(world, &mut next, &mut explored)?;
            explored.transitions += next.len();
            open.extend(next.drain(..).map(World::canonical).filter(|&world| seen.insert(world)));
        }
        explored.states = seen.len();
        Ok(explored)
    }

    fn steps(&self, world: World, next: &mut Vec<World>, explored: &mut Explored) -> Result<(), Violation> {
        for index in 0..world.tabs.len() {
            self.tab_steps(world, index, next, explored)?;
        }
        self.thief_steps(world, next, explored)?;
        next.extend(self.tick(world));
        Ok(())
    }

    fn tab_steps(
        &self,
        world: World,
        index: usize,
        next: &mut Vec<World>,
        explored: &mut Explored,
    ) -> Result<(), Violation> {
        let becomes = |tab| {
            let mut after = world;
            after.tabs[index] = tab;
            after
        };
        match world.tabs[index] {
            Tab::Idle => {
                let may_refresh = self.eager || world.storage.access == PAST;
                next.extend(may_refresh.then(|| becomes(Tab::Read { lag: world.storage.lag, ticks: 0 })));
                return Ok(());
            }
            Tab::Read { lag, ticks } => next.push(becomes(Tab::Sent { lag, ticks })),
            Tab::Sent { lag, ticks } => match self.serve(world, lag) {
                Served::Answer(mut after) => {
                    after.tabs[index] = Tab::Answered { answer: Stored { lag: 0, access: 0 }, ticks };
                    next.push(after);
                }
                _ if !matches!(world.thief, Thief::Served(_)) => return Err(Violation::LoggedOut(world)),
                Served::Revoked => explored.end_of_session(),
                Served::Refused => {}
            },
            Tab::Answered { answer, .. } => next.push(World { storage: answer, ..becomes(Tab::Idle) }),
        }
        next.push(becomes(Tab::Idle));
        Ok(())
    }

    fn thief_steps(
        &self,
        world: World,
        next: &mut Vec<World>,
        explored: &mut Explored,
    ) -> Result<(), Violation> {
        let lag = match world.thief {
            Thief::Waiting => {
                next.extend(world.lags().map(|lag| World { thief: Thief::Holds(lag), ..world }));
                return Ok(());
            }
            Thief::Holds(lag) | Thief::Served(lag) => lag,
        };
        match self.serve(world, lag) {
            Served::Revoked => explored.end_of_session(),
            _ if lag >= 2 && world.age == PAST => return Err(Violation::OldTokenServed(world)),
            Served::Answer(after) => next.push(World { thief: Thief::Served(0), ..after }),
            Served::Refused => {}
        }
        Ok(())
    }

    /// Time goes on, unless a tab has had its time: it saves or loses first.
    fn tick(&self, mut world: World) -> Option<World> {
        let older = |ticks: &mut u8| *ticks = (*ticks + 1).min(PAST);
        older(&mut world.age);
        for tab in &mut world.tabs {
            match tab {
                Tab::Idle => {}
                Tab::Read { ticks, .. } | Tab::Sent { ticks, .. } => older(ticks),
                Tab::Answered { answer, ticks } => {
                    older(ticks);
                    if !self.eager {
                        older(&mut answer.access);
                    }
                }
            }
        }
        if !self.eager {
            older(&mut world.storage.access);
        }
        let overdue = |tab: &Tab| match tab {
            Tab::Idle => false,
            Tab::Read { ticks, .. } | Tab::Sent { ticks, .. } | Tab::Answered { ticks, .. } => {
                *ticks > PASSAGE
            }
        };
        (!world.tabs.iter().any(overdue)).then_some(world)
    }

    /// The server takes a request: under the row's lock, so in one step.
    fn serve(&self, world: World, lag: u8) -> Served {
        match self.judge(&world, lag) {
            Decision::Rotate(state) => Served::Answer(world.rotated(state.active - ACTIVE)),
            Decision::ReturnActive(_) => Served::Answer(world),
            Decision::Refuse => Served::Refused,
            Decision::Theft => Served::Revoked,
        }
    }

    fn judge(&self, world: &World, lag: u8) -> Decision {
        let state = State { active: ACTIVE, floor: 0, advanced_at: Some(NOW - i64::from(world.age) * TICK) };
        (self.judge)(state, ACTIVE - u64::from(lag), NOW, self.rules)
    }

    fn check_families(&self, world: &World) -> Result<(), Violation> {
        let rotates = |&lag: &u8| matches!(self.judge(world, lag), Decision::Rotate(_));
        if (0..=OLD).filter(rotates).count() > 1 { Err(Violation::TwoFamilies(*world)) } else { Ok(()) }
    }
}

impl World {
    /// The tabs are alike, so states that differ only in their order are one state.
    fn canonical(mut self) -> Self {
        self.tabs.sort_unstable();
        self
    }

    /// Every token that is in the storage or in somebody's hands.
    fn lags(&self) -> impl Iterator<Item = u8> {
        let of_tab = |tab| match tab {
            Tab::Idle => None,
            Tab::Read { lag, .. } | Tab::Sent { lag, .. } => Some(lag),
            Tab::Answered { answer, .. } => Some(answer.lag),
        };
        self.tabs.into_iter().filter_map(of_tab).chain([self.storage.lag])
    }

    /// Every token falls behind.
    fn rotated(mut self, by: u64) -> Self {
        let behind = |lag: &mut u8| *lag = u8::try_from(by).map_or(OLD, |by| (*lag + by).min(OLD));
        self.age = 0;
        behind(&mut self.storage.lag);
        for tab in &mut self.tabs {
            match tab {
                Tab::Idle => {}
                Tab::Read { lag, .. } | Tab::Sent { lag, .. } => behind(lag),
                Tab::Answered { answer, .. } => behind(&mut answer.lag),
            }
        }
        if let Thief::Holds(lag) | Thief::Served(lag) = &mut self.thief {
            behind(lag);
        }
        self
    }
}

impl Explored {
    fn end_of_session(&mut self) {
        self.transitions += 1;
        self.revocations += 1;
    }
}

/// Threats C01 and C02. A thief that waits for ever is among the schedules, so those without one are covered.
#[test]
fn every_interleaving_keeps_honest_tabs_logged_in_and_ends_the_session_on_old_tokens() {
    let eager = Model::new(decide, PAST.into()).explore().unwrap();
    let due = Model::new(decide, 0).explore().unwrap();
    assert!(eager.revocations > 0 && due.revocations > 0, "no thief was ever caught: {eager:?} {due:?}");
    // Every step out of every state ends a schedule of its own, so there are at least as many as transitions.
    assert!(eager.transitions + due.transitions >= 1_000_000, "the space has shrunk: {eager:?} {due:?}");
}

/// What the model says about [`decide`] with one of its decisions changed.
fn broken_by(judge: Judge) -> Violation {
    Model::new(judge, PAST.into()).explore().unwrap_err()
}

#[test]
fn each_rule_for_honest_tabs_is_needed() {
    let parent_is_theft: Judge = |state, counter, now, rules| match decide(state, counter, now, rules) {
        Decision::ReturnActive(Reuse::Parent) => Decision::Theft,
        decision => decision,
    };
    let grandparent_is_theft: Judge = |state, counter, now, rules| match decide(state, counter, now, rules) {
        Decision::ReturnActive(Reuse::Interval) => Decision::Theft,
        decision => decision,
    };
    let recent_rotates: Judge = |state, counter, now, rules| match decide(state, counter, now, rules) {
        Decision::ReturnActive(Reuse::Recent) => Decision::Rotate(state.rotated_from(counter, now)),
        decision => decision,
    };
    for judge in [parent_is_theft, grandparent_is_theft, recent_rotates] {
        let violation = broken_by(judge);
        assert!(matches!(violation, Violation::LoggedOut(_)), "{violation:?}");
    }
}

#[test]
fn each_rule_against_thieves_is_needed() {
    let old_is_served: Judge = |state, counter, now, rules| match decide(state, counter, now, rules) {
        Decision::Theft => Decision::ReturnActive(Reuse::Interval),
        decision => decision,
    };
    let parent_rotates: Judge = |state, counter, now, rules| match decide(state, counter, now, rules) {
        Decision::ReturnActive(Reuse::Parent) => Decision::Rotate(state.rotated_from(state.active, now)),
        decision => decision,
    };
    assert!(matches!(broken_by(old_is_served), Violation::OldTokenServed(_)));
    assert!(matches!(broken_by(parent_rotates), Violation::TwoFamilies(_)));
}
