//! The claim that says whether an account is verified. Pure.

use serde_json::Value;

use super::caller::Claims;

/// The claim that says whether an account is verified, as a path with dots: `email_verified`, `app_metadata.verified`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClaim(Vec<String>);

impl VerifiedClaim {
    /// A path. Users write `user_metadata` themselves, so nothing in there counts.
    pub fn parse(path: &str) -> Result<Self, &'static str> {
        let steps: Vec<String> = path.split('.').map(str::to_owned).collect();
        if steps.iter().any(String::is_empty) {
            return Err("a claim is named by a path such as app_metadata.verified");
        }
        if steps[0] == "user_metadata" || steps[0] == "raw_user_meta_data" {
            return Err("users write user_metadata themselves, so it cannot say that they are verified");
        }
        Ok(Self(steps))
    }

    /// Whether the claim is there and `true`.
    pub fn holds(&self, claims: &Claims) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        let mut value = claims.get(first);
        for step in rest {
            value = value.and_then(|value| value.get(step));
        }
        value == Some(&Value::Bool(true))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(path: &str, claims: &Value) -> bool {
        VerifiedClaim::parse(path).unwrap().holds(claims.as_object().unwrap())
    }

    #[test]
    fn only_a_true_claim_that_users_cannot_write_verifies() {
        assert!(holds("email_verified", &json!({"email_verified": true})));
        assert!(holds("app_metadata.verified", &json!({"app_metadata": {"verified": true}})));
        for claims in [
            json!({}),
            json!({"email_verified": "true"}),
            json!({"email_verified": 1}),
            json!({"email_verified": null}),
        ] {
            assert!(!holds("email_verified", &claims), "{claims}");
        }
        assert!(VerifiedClaim::parse("user_metadata.email_verified").is_err());
        assert!(VerifiedClaim::parse("a..b").is_err());
    }
}
