//! What attempts are counted under.

use std::net::IpAddr;

use service_kit::network;
use sha2::{Digest, Sha256};

use super::policy::{Kind, Purpose};

/// SHA-256 of what is counted: of one length, whatever somebody sends as a name, and nothing to read.
pub type Key = [u8; 32];

/// What counts as one address, as the database keeps it.
#[derive(Debug, PartialEq, Eq)]
pub struct Network(String);

impl Network {
    pub fn of(address: IpAddr) -> Self {
        Self(network::Network::of(address).to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// None where a name is needed and there is none.
pub fn of(purpose: Purpose, kind: Kind, network: &Network, username_key: Option<&str>) -> Option<Key> {
    let (network, name) = match kind {
        Kind::Address => (network.as_str(), ""),
        Kind::Pair => (network.as_str(), username_key?),
        Kind::Account => ("", username_key?),
    };
    let mut hash = Sha256::new();
    // The name comes last, so that no name can pass for anything else.
    for part in [purpose.name(), kind.name(), network, name] {
        hash.update(part);
        hash.update([0]);
    }
    Some(hash.finalize().into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[test]
    fn an_ipv4_address_is_one_however_it_is_written() {
        assert_eq!(network("192.0.2.7"), network("::ffff:192.0.2.7"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:ffff:ffff:ffff"));
        assert_eq!(network("2001:db8::1").as_str(), "2001:db8::/64");
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
    }

    #[test]
    fn nothing_is_counted_under_the_key_of_something_else() {
        let mut keys = HashSet::new();
        for purpose in Purpose::ALL {
            for kind in Kind::ALL {
                for address in ["192.0.2.7", "2001:db8::1"] {
                    for name in ["ada", "192.0.2.7", "2001:db8::/64", ""] {
                        keys.insert(of(purpose, kind, &network(address), Some(name)).unwrap());
                    }
                }
            }
        }
        // Of each purpose: two addresses, four accounts, and eight pairs of them.
        assert_eq!(keys.len(), Purpose::ALL.len() * (2 + 4 + 8));
    }

    #[test]
    fn without_a_name_only_the_address_is_counted() {
        let key = |kind| of(Purpose::SignUp, kind, &network("192.0.2.7"), None);
        assert!(key(Kind::Address).is_some());
        assert_eq!((key(Kind::Pair), key(Kind::Account)), (None, None));
    }
}
