//! Who began an upload that takes several requests, and so may go on with it (threat H16): a user by their id, a server's key
//! by its own, anybody else by their role and who vouches for it.
//!
//! A guest is nobody in particular. What one guest has begun every guest may go on with who knows its id: 122 random bits
//! or more, which only the answer to whoever began it tells. No guest goes on with what a user or a key has begun, and none
//! of these with a guest's; the role of servers passes, as it passes all policies.

use std::fmt;

use crate::kernel::identity::{Caller, Via};

/// Who began an upload, or would go on with it, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct BegunBy(String);

/// What the row of an upload says of whoever began it.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Beginner<'a> {
    /// None in rows of versions that did not say.
    pub(in crate::storage) begun_by: Option<&'a str>,
    /// Whose the object is to be.
    pub(in crate::storage) owner: Option<&'a str>,
}

impl BegunBy {
    /// A caller.
    pub(in crate::storage) fn caller(caller: &Caller) -> Self {
        let issuer = caller.claims.get("iss").and_then(serde_json::Value::as_str);
        Self(match (&caller.subject, &caller.token_fingerprint) {
            (Some(subject), _) => return Self::user(subject),
            (None, _) if caller.anonymous => format!("guest {}", caller.role),
            (None, Some(key)) if caller.via == Via::SecretKey => format!("key {key}"),
            (None, _) => format!("role {} of {}", caller.role, issuer.unwrap_or_default()),
        })
    }

    /// A user.
    pub(in crate::storage) fn user(id: &str) -> Self {
        Self(format!("user {id}"))
    }

    /// Whoever has a URL that was signed for somebody.
    pub(in crate::storage) fn url_of(signer: &str) -> Self {
        Self(format!("url of {signer}"))
    }

    /// As the row says it.
    pub(in crate::storage) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether they may go on with it. Rows that do not say who began them are their owner's, and nobody's without one.
    pub(in crate::storage) fn may_go_on(&self, upload: Beginner<'_>, owner: Option<&str>) -> bool {
        match upload.begun_by {
            Some(beginner) => beginner == self.0,
            None => upload.owner.is_some() && upload.owner == owner,
        }
    }
}

impl fmt::Display for BegunBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn caller(role: &str, via: Via, (subject, key): (Option<&str>, &str), claims: Value) -> Caller {
        let Value::Object(claims) = claims else { panic!("no object") };
        let mut caller = Caller::for_role(role, role == "anon", via, Some(Arc::from(key)));
        caller.subject = subject.map(Arc::from);
        caller.claims = Arc::new(claims);
        caller
    }

    #[test]
    fn h16_an_upload_goes_on_with_whoever_began_it_and_nobody_else() {
        let callers = [
            caller("authenticated", Via::Token, (Some("alice"), "t1"), json!({})),
            caller("authenticated", Via::Token, (Some("bob"), "t2"), json!({})),
            caller("authenticated", Via::Token, (None, "t3"), json!({})),
            caller("authenticated", Via::Token, (None, "t4"), json!({ "iss": "other" })),
            caller("worker", Via::Token, (None, "t5"), json!({})),
            caller("anon", Via::PublishableKey, (None, "k1"), json!({})),
            caller("service_role", Via::SecretKey, (None, "k2"), json!({})),
            caller("authenticated", Via::SecretKey, (None, "k3"), json!({})),
            caller("authenticated", Via::SecretKey, (None, "k4"), json!({})),
        ];
        for (first, one) in callers.iter().enumerate() {
            let begun = BegunBy::caller(one);
            for (second, other) in callers.iter().enumerate() {
                let upload = Beginner { begun_by: Some(begun.as_str()), owner: one.subject.as_deref() };
                let goes_on = BegunBy::caller(other).may_go_on(upload, other.subject.as_deref());
                assert_eq!(goes_on, first == second, "{begun} {}", BegunBy::caller(other));
                let url = BegunBy::url_of(begun.as_str());
                assert!(!BegunBy::caller(other).may_go_on(
                    Beginner { begun_by: Some(url.as_str()), owner: None },
                    other.subject.as_deref()
                ));
            }
        }
    }

    #[test]
    fn h16_a_user_goes_on_with_another_token_and_a_guest_with_another_public_key() {
        let again = |role, via, subject, key| BegunBy::caller(&caller(role, via, (subject, key), json!({})));
        assert_eq!(
            again("authenticated", Via::Token, Some("alice"), "t1"),
            again("authenticated", Via::SecretKey, Some("alice"), "k1")
        );
        assert_eq!(again("anon", Via::Token, None, "t1"), again("anon", Via::PublishableKey, None, "k1"));
    }

    #[test]
    fn h16_an_upload_of_before_is_its_owners() {
        let alice = BegunBy::caller(&caller("authenticated", Via::Token, (Some("alice"), "t"), json!({})));
        let of = |owner| Beginner { begun_by: None, owner };
        assert!(alice.may_go_on(of(Some("alice")), Some("alice")));
        assert!(!alice.may_go_on(of(Some("bob")), Some("alice")));
        assert!(!alice.may_go_on(of(None), None));
    }
}
