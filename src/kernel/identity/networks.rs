//! Where the token of an API key may be used. Pure.

use core::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::caller::Claims;
use super::scope::KEY_ID;

/// The claim with the networks that a key, and so the token that it is exchanged for, may be used from; none for all.
/// Only beside [`KEY_ID`] is it ours.
pub const NETWORKS: &str = "ip_allowlist";

/// Networks of an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Those of a token. What cannot be read allows no address.
    pub(super) fn of_claims(claims: &Claims) -> Option<Self> {
        claims.get(KEY_ID)?;
        let listed = claims.get(NETWORKS)?;
        Some(Self(Vec::deserialize(listed).unwrap_or_default()))
    }

    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(claims: &Value) -> Option<Networks> {
        Networks::of_claims(claims.as_object().unwrap())
    }

    #[test]
    fn a_token_of_a_key_is_used_from_its_networks_alone() {
        let networks =
            of(&json!({"key_id": "1", "ip_allowlist": ["192.0.2.0/24", "2001:db8::1/128"]})).unwrap();

        for (address, is_in) in [
            ("192.0.2.9", true),
            ("::ffff:192.0.2.9", true),
            ("192.0.3.9", false),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
        ] {
            assert_eq!(networks.contain(address.parse().unwrap()), is_in, "{address}");
        }
    }

    #[test]
    fn networks_that_cannot_be_read_are_none_and_those_of_other_tokens_are_not_ours() {
        let nowhere = Some(Networks(Vec::new()));
        for wrong in [json!("192.0.2.0/24"), json!(["everywhere"]), json!(null), json!([])] {
            assert_eq!(of(&json!({"key_id": "1", "ip_allowlist": wrong})), nowhere, "{wrong}");
        }
        assert_eq!(of(&json!({"ip_allowlist": ["192.0.2.0/24"]})), None);
        assert_eq!(of(&json!({"key_id": "1"})), None);
    }
}
