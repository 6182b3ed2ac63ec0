//! What counts as one address, wherever something is counted for an address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network that one party has: an IPv4 address, or the /64 of an IPv6 one, for whoever has one address there has the whole of it to
/// choose from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Network(u128);

/// Where IPv4 has addresses that are IPv6's: `64:ff9b::/96` (RFC 6052, section 2.1). A translator puts all of IPv4 into one /64.
const TRANSLATED: u128 = 0x0064_ff9b << 96;

impl Network {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => match address.to_bits() {
                bits if bits >> 32 << 32 == TRANSLATED => Self::of_v4(Ipv4Addr::from_bits(bits as u32)),
                bits => Self(bits >> 64 << 64),
            },
        }
    }

    /// Where IPv6 has addresses that are IPv4's. No /64 looks like one of them.
    fn of_v4(address: Ipv4Addr) -> Self {
        Self(address.to_ipv6_mapped().to_bits())
    }

    /// As a number that no other network has.
    pub fn bits(self) -> u128 {
        self.0
    }

    /// The /48 that it is in, which one site gets where it gets more than a /64 (RFC 6177); an IPv4 address is in none.
    pub fn site(self) -> Option<u128> {
        self.address().is_ipv6().then_some(self.0 >> 80 << 80)
    }

    /// Its first address.
    fn address(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(self.0)).to_canonical()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            IpAddr::V4(address) => address.fmt(formatter),
            IpAddr::V6(address) => write!(formatter, "{address}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().expect("an address"))
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_and_those_of_ipv4_are_not() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:1"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
        assert_ne!(network("::1"), network("0.0.0.0"));
    }

    #[test]
    fn an_ipv4_address_is_one_however_it_is_written_and_whoever_translates_it() {
        assert_eq!(network("192.0.2.7"), network("::ffff:192.0.2.7"));
        assert_eq!(network("192.0.2.7"), network("64:ff9b::c000:207"));
        assert_ne!(network("64:ff9b::c000:207"), network("64:ff9b::c000:208"));
        // The next prefix is for translators of one's own, and says nothing.
        assert_eq!(network("64:ff9b:1::1"), network("64:ff9b:1::2"));
    }

    #[test]
    fn the_networks_of_one_site_are_in_one_and_an_ipv4_address_is_in_none() {
        let site = |address| network(address).site();
        assert_eq!(site("2001:db8:1:2::1"), site("2001:db8:1:ffff::1"));
        assert_ne!(site("2001:db8:1:2::1"), site("2001:db8:2:2::1"));
        assert_eq!((site("192.0.2.7"), site("64:ff9b::c000:207")), (None, None));
    }

    #[test]
    fn it_is_written_as_networks_are() {
        assert_eq!(network("192.0.2.7").to_string(), "192.0.2.7");
        assert_eq!(network("64:ff9b::c000:207").to_string(), "192.0.2.7");
        assert_eq!(network("2001:DB8::0:9").to_string(), "2001:db8::/64");
        assert_eq!(network("::1").to_string(), "::/64");
    }
}
