//! What is counted under.

use service_kit::network::Network;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::policy::Policy;

/// For whom a request is counted, in 128 bits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Subject(u128);

impl Subject {
    /// What counts as one address.
    pub fn network(network: Network) -> Self {
        Self(network.bits())
    }

    /// All networks of the IPv6 site that this one is in.
    pub fn site(network: Network) -> Option<Self> {
        network.site().map(Self)
    }

    pub fn id(id: Uuid) -> Self {
        Self(id.as_u128())
    }

    /// An identity at an address.
    pub fn station(identity: &str, network: Network) -> Self {
        let mut hash = Sha256::new();
        hash.update(network.bits().to_be_bytes());
        hash.update(identity);
        let hash: [u8; 32] = hash.finalize().into();
        let (first, _) = hash.split_at(size_of::<u128>());
        Self(first.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte)))
    }
}

/// A subject under one policy.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Key {
    pub policy: u8,
    subject: Subject,
}

impl Key {
    pub fn new(policy: &Policy, subject: Subject) -> Self {
        Self {
            policy: policy.index,
            subject,
        }
    }

    /// As Redis knows it.
    pub fn in_redis(&self, policy: &Policy) -> String {
        format!("{}{:032x}", policy.redis_prefix, self.subject.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_charge_point_is_one_at_each_address() {
        let station = |identity, address: &str| Subject::station(identity, Network::of(address.parse().unwrap()));
        assert_eq!(station("CP1", "2001:db8::1"), station("CP1", "2001:db8::2"));
        assert_ne!(station("CP1", "192.0.2.7"), station("CP1", "192.0.2.8"));
        assert_ne!(station("CP1", "192.0.2.7"), station("CP2", "192.0.2.7"));
    }
}
