//! The passwords of the database's logins: generated once, kept in one private file of the data directory.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{EmbeddedError, io_error};
use super::home::write_private;
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;

/// One password for each login that goforward makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPasswords {
    /// `postgres`: superuser of the embedded server, owner of the users' objects.
    pub postgres: Secret,
    /// `goforward`: owner of our schemas.
    pub goforward: Secret,
    /// `authenticator`: may only switch to the API roles.
    pub authenticator: Secret,
}

/// The file's shape; `Secret` itself serialises masked.
#[derive(Serialize, Deserialize)]
struct Stored {
    postgres: String,
    goforward: String,
    authenticator: String,
}

impl LoginPasswords {
    /// New ones.
    pub fn generate(random: &Random) -> Self {
        let next = || Secret::new(random.secret());
        Self { postgres: next(), goforward: next(), authenticator: next() }
    }

    /// Those in `path`; where there is no file yet and no cluster either, new ones are made and kept.
    pub(super) fn load_or_create(
        path: &Path,
        has_cluster: bool,
        random: &Random,
    ) -> Result<Self, EmbeddedError> {
        match std::fs::read(path) {
            Ok(text) => Self::parse(&text).ok_or_else(|| EmbeddedError::Passwords { path: path.to_owned() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if has_cluster {
                    return Err(EmbeddedError::Passwords { path: path.to_owned() });
                }
                let made = Self::generate(random);
                write_private(path, &made.render(), None)?;
                Ok(made)
            }
            Err(error) => Err(io_error("read", path)(error)),
        }
    }

    /// Those kept in a data directory, if they can be read.
    pub(super) fn stored(home: &Path) -> Option<Self> {
        Self::parse(&std::fs::read(home.join(super::home::PASSWORDS)).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(text).ok()?;
        let found = Self {
            postgres: Secret::new(stored.postgres),
            goforward: Secret::new(stored.goforward),
            authenticator: Secret::new(stored.authenticator),
        };
        let any_empty =
            [&found.postgres, &found.goforward, &found.authenticator].iter().any(|secret| secret.is_empty());
        (!any_empty).then_some(found)
    }

    fn render(&self) -> Vec<u8> {
        let stored = Stored {
            postgres: self.postgres.expose().to_owned(),
            goforward: self.goforward.expose().to_owned(),
            authenticator: self.authenticator.expose().to_owned(),
        };
        // Three strings always serialise.
        serde_json::to_vec_pretty(&stored).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn passwords_are_made_once_and_kept_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwords.json");
        let random = Random::seeded(7);

        let made = LoginPasswords::load_or_create(&path, false, &random).unwrap();
        let again = LoginPasswords::load_or_create(&path, true, &random).unwrap();

        assert_eq!(made, again);
        assert_ne!(made.postgres, made.authenticator);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn data_without_its_passwords_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwords.json");
        let missing = LoginPasswords::load_or_create(&path, true, &Random::seeded(7));
        assert!(matches!(missing, Err(EmbeddedError::Passwords { .. })));

        std::fs::write(&path, "{\"postgres\":\"x\"}").unwrap();
        let damaged = LoginPasswords::load_or_create(&path, true, &Random::seeded(7));
        assert!(matches!(damaged, Err(EmbeddedError::Passwords { .. })));
    }
}
