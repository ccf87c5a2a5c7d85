//! Which claims are acceptable now and here: times, audience, issuer.
//!
//! Pure. Two strictnesses: PostgREST's (null counts as absent, a fraction as zero) and ours, which refuses every time
//! claim that is not a whole number from 0 on.

use serde_json::Value;

use super::caller::{Claims, ClaimsError};

/// How far clocks may differ, in seconds; PostgREST's figure.
const SKEW: i64 = 30;

/// What a token must say, apart from its signature.
#[derive(Clone, Debug, Default)]
pub(super) struct ClaimRules {
    /// The audience that one of the token's must equal.
    pub(super) audience: Option<String>,
    /// The issuer that the token's must equal.
    pub(super) issuer: Option<String>,
    /// Refuse what PostgREST lets pass: null times, fractions, a missing audience where one is configured.
    pub(super) strict: bool,
    /// Refuse tokens that never end.
    pub(super) require_expiry: bool,
}

/// The time claims of an accepted token, in seconds since the epoch; checked again at every use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeClaims {
    expires: Option<i64>,
    not_before: Option<i64>,
    issued: Option<i64>,
}

impl ClaimRules {
    /// Checks all claims; the first thing wrong is reported, in PostgREST's order.
    pub(super) fn check(&self, claims: &Claims, now: i64) -> Result<TimeClaims, ClaimsError> {
        let expires = self.seconds(claims, "exp")?;
        check_expiry(expires, now)?;
        let not_before = self.seconds(claims, "nbf")?;
        check_start(not_before, now, ClaimsError::NotYetValid)?;
        let issued = self.seconds(claims, "iat")?;
        check_start(issued, now, ClaimsError::IssuedInFuture)?;
        self.check_audience(claims)?;
        if self.require_expiry && expires.is_none() {
            return Err(ClaimsError::NoExpiry);
        }
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(ClaimsError::WrongIssuer);
        }
        Ok(TimeClaims { expires, not_before, issued })
    }

    fn seconds(&self, claims: &Claims, name: &'static str) -> Result<Option<i64>, ClaimsError> {
        match claims.get(name) {
            None => Ok(None),
            Some(Value::Null) if !self.strict => Ok(None),
            Some(Value::Number(number)) => {
                let whole = number.as_i64().or_else(|| number.as_f64().and_then(whole_seconds));
                match whole {
                    Some(seconds) if seconds >= 0 || !self.strict => Ok(Some(seconds)),
                    None if !self.strict => Ok(Some(0)),
                    _ => Err(ClaimsError::NotANumber(name)),
                }
            }
            Some(_) => Err(ClaimsError::NotANumber(name)),
        }
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), ClaimsError> {
        let fits = |audience: &str| self.audience.as_deref().is_none_or(|expected| expected == audience);
        let accepted = match claims.get("aud") {
            None | Some(Value::Null) => !(self.strict && self.audience.is_some()),
            Some(Value::String(audience)) => fits(audience),
            Some(Value::Array(audiences)) => {
                let mut any = audiences.is_empty() && !(self.strict && self.audience.is_some());
                for audience in audiences {
                    any |= fits(audience.as_str().ok_or(ClaimsError::AudienceType)?);
                }
                any
            }
            Some(_) => return Err(ClaimsError::AudienceType),
        };
        if accepted { Ok(()) } else { Err(ClaimsError::NotInAudience) }
    }
}

impl TimeClaims {
    /// Whether the token is acceptable at `now`; for tokens that were accepted before.
    pub(super) fn check(self, now: i64) -> Result<(), ClaimsError> {
        check_expiry(self.expires, now)?;
        check_start(self.not_before, now, ClaimsError::NotYetValid)?;
        check_start(self.issued, now, ClaimsError::IssuedInFuture)
    }
}

fn check_expiry(expires: Option<i64>, now: i64) -> Result<(), ClaimsError> {
    if expires.is_some_and(|at| now.saturating_sub(SKEW) > at) { Err(ClaimsError::Expired) } else { Ok(()) }
}

fn check_start(from: Option<i64>, now: i64, refusal: ClaimsError) -> Result<(), ClaimsError> {
    if from.is_some_and(|at| now.saturating_add(SKEW) < at) { Err(refusal) } else { Ok(()) }
}

/// The whole number that a float holds exactly, if an `i64` can hold it.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn whole_seconds(float: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    (float.fract() == 0.0 && float.abs() <= LIMIT).then_some(float as i64)
}
