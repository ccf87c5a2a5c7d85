//! Whether a password may be chosen: the pure rules, with the look-up among leaked passwords that they need.

use super::config::PasswordConfig;
use super::leaked::LeakedPasswords;
use super::strength::{PasswordRefusal, StrengthRules, usable};
use crate::kernel::secret::Secret;

/// The rules for new passwords.
#[derive(Clone)]
pub struct PasswordPolicy {
    rules: StrengthRules,
    leaked: LeakedPasswords,
    fail_closed: bool,
}

impl PasswordPolicy {
    /// The policy of a configuration, with what [`LeakedPasswords::open`] made of it.
    pub fn new(config: &PasswordConfig, leaked: LeakedPasswords) -> Self {
        Self { rules: config.rules(), leaked, fail_closed: config.leaked_fail_closed }
    }

    /// Whether the password may be chosen. All broken rules are told at once.
    pub async fn check(&self, password: &Secret) -> Result<(), PasswordRefusal> {
        // What cannot be a password at all is not sent anywhere.
        usable(password)?;
        let is_leaked = match self.leaked.contain(password).await {
            Ok(is_leaked) => is_leaked,
            Err(error) => {
                let refused = self.fail_closed;
                tracing::warn!(%error, refused, "a new password could not be looked up among leaked ones");
                if self.fail_closed {
                    return Err(PasswordRefusal::Unchecked);
                }
                false
            }
        };
        self.rules.check(password, is_leaked)
    }
}

impl std::fmt::Debug for PasswordPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordPolicy").field("rules", &self.rules).finish_non_exhaustive()
    }
}
