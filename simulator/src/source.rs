//! Where connections come from. One address has some 28,000 ports towards one destination, so a large fleet on this machine takes
//! several: all of 127.0.0.0/8 is this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Charge points that share an address; fewer than there are ports, since those of the run before are kept for a minute.
const PER_ADDRESS: usize = 10_000;

/// The addresses that charge points connect from.
#[derive(Clone, Debug)]
pub enum Sources {
    /// Whatever the system chooses.
    System,
    /// Each in turn.
    Given(Vec<IpAddr>),
    /// Addresses of the loopback network, different ones in each process.
    Loopback { process: u32 },
}

impl Sources {
    /// For so many charge points that connect to one address.
    pub fn choose(given: &[IpAddr], destination: SocketAddr, stations: usize) -> Self {
        if !given.is_empty() {
            Self::Given(given.to_vec())
        } else if stations > PER_ADDRESS && destination.is_ipv4() && destination.ip().is_loopback() {
            Self::Loopback {
                process: std::process::id(),
            }
        } else {
            Self::System
        }
    }

    /// That of one charge point; none where the system chooses.
    pub fn of(&self, station: usize) -> Option<IpAddr> {
        match self {
            Self::System => None,
            Self::Given(addresses) => Some(addresses[station % addresses.len()]),
            Self::Loopback { process } => {
                let [_, _, high, low] = process.to_be_bytes();
                let network = u8::try_from(station / PER_ADDRESS).unwrap_or(u8::MAX);
                // Not 127.0.0.1, which everybody uses.
                Some(Ipv4Addr::new(127, high | 1, low, network.saturating_add(1)).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_fleet_on_this_machine_comes_from_several_addresses() {
        let gateway = SocketAddr::from(([127, 0, 0, 1], 8080));
        let sources = Sources::choose(&[], gateway, 50_000);
        let mut addresses: Vec<_> = (0..50_000).filter_map(|station| sources.of(station)).collect();
        addresses.dedup();
        assert_eq!(addresses.len(), 5);
        assert!(addresses.iter().all(|address| address.is_loopback()));
    }

    #[test]
    fn a_small_one_and_one_that_connects_elsewhere_do_not() {
        let gateway = SocketAddr::from(([127, 0, 0, 1], 8080));
        assert!(matches!(Sources::choose(&[], gateway, 10_000), Sources::System));
        let elsewhere = SocketAddr::from(([192, 0, 2, 7], 80));
        assert!(matches!(Sources::choose(&[], elsewhere, 50_000), Sources::System));
    }
}
