//! Who asks, as far as rules of tables care. Pure.
//!
//! A [`PolicyCaller`] is made once per request from the verified caller; the [`CallerClass`] is the part of it that
//! decides about columns, so that callers of one class share a catalog.

use core::net::IpAddr;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::catalog::role::Role;
use crate::kernel::identity::{Account, Caller, Claims, VerifiedClaim};

/// The facts about one caller.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct PolicyCaller {
    /// The PostgreSQL role.
    pub role: Arc<str>,
    /// Whether the role has BYPASSRLS or stands for one that has: rules about callers do not bind it.
    pub bypasses: bool,
    /// Whether it is another than the anonymous role.
    pub authenticated: bool,
    /// Whether the account's e-mail address or phone is verified, by what the server itself says.
    pub verified: bool,
    /// Whether a second factor was given (`aal2`).
    pub second_factor: bool,
    /// Names of the claim `app_roles`.
    pub app_roles: BTreeSet<String>,
    /// Where the request comes from, trusted proxies seen through; unknown where there is no connection.
    pub address: Option<IpAddr>,
}

impl PolicyCaller {
    /// The facts from a verified caller. Whether it is verified is said by its `account`, if it has one here, or by the
    /// claim at `verified_claim`; without either nobody is. `roles` are those of PostgreSQL.
    pub fn new(
        (caller, account): (&Caller, Option<Account>),
        bypasses: bool,
        verified_claim: Option<&VerifiedClaim>,
        address: Option<IpAddr>,
        roles: &HashMap<Arc<str>, Role>,
    ) -> Self {
        let standing = (bypasses, caller.is_authenticated());
        let by_claims = Self::of_claims(
            Arc::clone(&caller.role),
            standing,
            &caller.claims,
            verified_claim,
            address,
            roles,
        );
        let verified = by_claims.verified || account.is_some_and(|account| account.verified);
        Self { verified, ..by_claims }
    }

    /// The facts from a role, whether it bypasses rules and is another than the anonymous one, and claims.
    pub fn of_claims(
        role: Arc<str>,
        (bypasses, authenticated): (bool, bool),
        claims: &Claims,
        verified_claim: Option<&VerifiedClaim>,
        address: Option<IpAddr>,
        roles: &HashMap<Arc<str>, Role>,
    ) -> Self {
        let mut app_roles = app_roles(claims);
        // The name of a PostgreSQL role means that role: an app role of the same name would pass for it.
        app_roles.retain(|name| !roles.contains_key(name.as_str()));
        Self {
            role,
            bypasses,
            authenticated,
            verified: verified_claim.is_some_and(|claim| claim.holds(claims)),
            second_factor: claims.get("aal").and_then(Value::as_str) == Some("aal2"),
            app_roles,
            address: address.map(|address| address.to_canonical()),
        }
    }

    /// Whether the caller's role or one of its app roles is in a list.
    pub fn has_any(&self, roles: &BTreeSet<String>) -> bool {
        roles.contains(&*self.role) || self.app_roles.iter().any(|role| roles.contains(role))
    }
}

/// `app_roles` as strings; anything else grants nothing.
fn app_roles(claims: &Claims) -> BTreeSet<String> {
    let Some(Value::Array(roles)) = claims.get("app_roles") else { return BTreeSet::new() };
    roles.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The part of a caller that decides which columns it sees: its role, and those of its roles that rules name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallerClass {
    /// The PostgreSQL role.
    pub role: Arc<str>,
    /// App roles, of those that any rule about a column names.
    pub app_roles: BTreeSet<String>,
}

impl CallerClass {
    /// Whether the class is in a list.
    pub fn has_any(&self, roles: &BTreeSet<String>) -> bool {
        roles.contains(&*self.role) || self.app_roles.iter().any(|role| roles.contains(role))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_app_role_does_not_pass_for_a_role_of_postgresql() {
        let claims = json!({"app_roles": ["authenticated", "clerk"]});
        let roles = HashMap::from([("authenticated".into(), Role::default())]);
        let claims = claims.as_object().unwrap();
        let caller = PolicyCaller::of_claims("anon".into(), (false, false), claims, None, None, &roles);
        assert_eq!(caller.app_roles, BTreeSet::from(["clerk".to_owned()]));
        assert!(!caller.has_any(&BTreeSet::from(["authenticated".to_owned()])));
    }

    #[test]
    fn app_roles_are_strings_of_an_array() {
        let claims = |value: Value| app_roles(json!({"app_roles": value}).as_object().unwrap());
        assert_eq!(claims(json!(["a", 1, "b"])), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        assert_eq!(claims(json!("admin")), BTreeSet::new());
    }
}
