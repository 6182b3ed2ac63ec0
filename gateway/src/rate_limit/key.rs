//! What is counted under.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::policy::Policy;

/// For whom a request is counted, in 128 bits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Subject(u128);

impl Subject {
    /// What counts as one address: whoever has an IPv6 address has the whole /64 to choose from.
    pub fn network(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            // Where IPv6 has addresses that are IPv4's.
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64,
        })
    }

    pub fn id(id: Uuid) -> Self {
        Self(id.as_u128())
    }

    /// An identity at an address.
    pub fn station(identity: &str, address: IpAddr) -> Self {
        let mut hash = Sha256::new();
        hash.update(Self::network(address).0.to_be_bytes());
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

    /// As Redis knows it. It goes by the policy's name, so that gateways with other limits do not mix them up.
    pub fn in_redis(&self, policy: &Policy) -> String {
        format!("voltgate:rate:{}:{:032x}", policy.name, self.subject.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn network(address: &str) -> Subject {
        Subject::network(address.parse().unwrap())
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_and_those_of_ipv4_are_not() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:1"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
        assert_eq!(network("192.0.2.7"), network("::ffff:192.0.2.7"));
        assert_ne!(network("::1"), network("0.0.0.0"));
    }

    #[test]
    fn a_charge_point_is_one_at_each_address() {
        let station = |identity, address: &str| Subject::station(identity, address.parse().unwrap());
        assert_eq!(station("CP1", "2001:db8::1"), station("CP1", "2001:db8::2"));
        assert_ne!(station("CP1", "192.0.2.7"), station("CP1", "192.0.2.8"));
        assert_ne!(station("CP1", "192.0.2.7"), station("CP2", "192.0.2.7"));
    }
}
