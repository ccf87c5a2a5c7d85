//! Replacing the root secret: the one in force makes and seals, those before it go on being recognised and opened until
//! the configuration no longer lists them.

use std::fmt;

use aws_lc_rs::hmac;
use subtle::{Choice, ConstantTimeEq};

use super::{RootSecret, Vault, VaultError, VaultKey};
use crate::kernel::secret::Secret;

/// The root secret in force, and those that are recognised beside it.
#[derive(Clone, Debug)]
pub struct RootSecrets {
    current: RootSecret,
    previous: Vec<RootSecret>,
}

impl RootSecrets {
    /// How many secrets may be listed beside the one in force: what is presented is compared under each.
    pub const MOST_PREVIOUS: usize = 8;

    /// With the configured texts. A secret that is listed twice counts once, and no more than
    /// [`MOST_PREVIOUS`](Self::MOST_PREVIOUS) beside the first.
    pub fn new(current: &Secret, previous: &[Secret]) -> Self {
        let current = RootSecret::new(current);
        let mut known = vec![fingerprint(&current)];
        let mut others = Vec::new();
        for root in previous.iter().filter(|secret| !secret.is_empty()).map(RootSecret::new) {
            let fingerprint = fingerprint(&root);
            if !known.contains(&fingerprint) && others.len() < Self::MOST_PREVIOUS {
                known.push(fingerprint);
                others.push(root);
            }
        }
        Self { current, previous: others }
    }

    /// The secret in force.
    pub fn current(&self) -> &RootSecret {
        &self.current
    }

    /// Those that are recognised beside it.
    pub fn previous(&self) -> &[RootSecret] {
        &self.previous
    }

    /// The key material of one purpose: under the secret in force, and under those before it.
    pub fn derive(&self, label: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
        let derived = |root: &RootSecret| root.derive(label).to_vec();
        (derived(&self.current), self.previous.iter().map(derived).collect())
    }

    /// The MAC keys of one purpose.
    pub fn mac_keys(&self, label: &str) -> MacKeys {
        let key = |root: &RootSecret| hmac::Key::new(hmac::HMAC_SHA256, &root.derive(label));
        MacKeys { current: key(&self.current), previous: self.previous.iter().map(key).collect() }
    }

    /// A vault that seals under the secret in force and opens what any of them sealed.
    pub fn vault(&self) -> Result<Vault, VaultError> {
        let older = self.previous.iter().map(VaultKey::fingerprinted).collect::<Result<_, _>>()?;
        Vault::new(VaultKey::fingerprinted(&self.current)?, older)
    }
}

/// Tells secrets apart; the id of a vault key is made of it.
fn fingerprint(root: &RootSecret) -> [u8; 32] {
    root.derive("vault key id")
}

/// Keys for the HMAC-SHA256 of one purpose: one makes, all recognise.
#[derive(Clone)]
pub struct MacKeys {
    current: hmac::Key,
    previous: Vec<hmac::Key>,
}

impl MacKeys {
    /// The key that makes what is new.
    pub fn current(&self) -> &hmac::Key {
        &self.current
    }

    /// Every key, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &hmac::Key> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// Whether a value is what `make` gives under one of the keys. Takes as long for every value: each key is tried.
    pub fn any_makes<T: AsRef<[u8]>>(&self, value: &[u8], make: impl Fn(&hmac::Key) -> T) -> bool {
        let tried = self.all().map(|key| make(key).as_ref().ct_eq(value));
        tried.fold(Choice::from(0), |found, same| found | same).into()
    }
}

impl fmt::Debug for MacKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKeys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(current: &str, previous: &[&str]) -> RootSecrets {
        let previous: Vec<_> = previous.iter().map(|text| Secret::new(*text)).collect();
        RootSecrets::new(&Secret::new(current), &previous)
    }

    #[test]
    fn what_an_earlier_secret_sealed_opens_as_long_as_it_is_listed() {
        let sealed = roots("old", &[]).vault().unwrap().seal("totp", "1", b"secret", [1; 12]).unwrap();
        let both = roots("new", &["older", "old"]).vault().unwrap();

        assert_eq!(*both.open("totp", "1", &sealed).unwrap(), b"secret");
        assert!(both.needs_reseal(&sealed));
        let alone = roots("new", &[]).vault().unwrap().open("totp", "1", &sealed);
        assert!(matches!(alone, Err(VaultError::UnknownKey(_))));
    }

    #[test]
    fn a_mac_of_any_listed_secret_is_recognised_and_the_current_one_makes() {
        let sign = |key: &hmac::Key| hmac::sign(key, b"text");
        let old = sign(roots("old", &[]).mac_keys("purpose").current());
        let both = roots("new", &["older", "old"]).mac_keys("purpose");

        assert!(both.any_makes(old.as_ref(), sign));
        assert!(!roots("new", &["older"]).mac_keys("purpose").any_makes(old.as_ref(), sign));
        assert!(!roots("new", &["old"]).mac_keys("another").any_makes(old.as_ref(), sign));
        assert_ne!(sign(both.current()).as_ref(), old.as_ref());
        assert_eq!(both.all().count(), 3);
    }

    #[test]
    fn secrets_listed_twice_count_once_and_there_is_a_bound() {
        let many: Vec<String> = (0..20).map(|n| format!("secret {n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();

        assert_eq!(roots("new", &["new", "old", "", "old"]).mac_keys("p").all().count(), 2);
        assert!(roots("new", &["new", "old", "old"]).vault().is_ok());
        assert_eq!(roots("new", &many).mac_keys("p").all().count(), 1 + RootSecrets::MOST_PREVIOUS);
    }
}
