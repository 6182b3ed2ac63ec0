//! The setting that says which proxies stand in front of the gateway: `10.0.0.0/8,2001:db8::7`. What they say of whom they
//! speak for is believed, and nobody else's word is.

use std::net::IpAddr;
use std::str::FromStr;

use clap::ValueEnum;
use http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

use super::forwarded::{self, Hops};

/// The bits of an IPv4 address that is written as an IPv6 one (RFC 4291, section 2.5.5.2) before the address itself.
const MAPPED_PREFIX: u8 = 96;

/// Proxies that are believed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TrustedProxies(Vec<IpNet>);

/// The header in which proxies say whom they speak for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum ForwardedHeader {
    /// Not known. Where there are both, they have to agree.
    #[default]
    Either,
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

/// Why the setting cannot be used; the rest of a sentence that starts with its name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadProxy {
    #[error("has `{0}`, which is neither an address nor a network such as 10.0.0.0/8")]
    NoNetwork(String),
    #[error("has `{0}`: whoever believes everybody lets anybody be anyone")]
    Everybody(String),
}

impl FromStr for TrustedProxies {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(network).collect::<Result<_, _>>().map(Self)
    }
}

fn network(entry: &str) -> Result<IpNet, BadProxy> {
    let network = entry.parse().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| BadProxy::NoNetwork(entry.to_owned()))?;
    if network.prefix_len() == 0 {
        return Err(BadProxy::Everybody(entry.to_owned()));
    }
    Ok(canonical(network))
}

/// Addresses are compared in their shortest form.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network.addr() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => address.to_ipv4_mapped(),
    };
    let v4 = mapped.zip(network.prefix_len().checked_sub(MAPPED_PREFIX));
    v4.and_then(|(address, length)| Ipv4Net::new(address, length).ok())
        .map_or(network, IpNet::V4)
}

impl TrustedProxies {
    /// The client behind a connection from `peer`: of those who stand on the way here, the nearest that is no proxy of ours.
    ///
    /// Each proxy adds to the right whom it was reached from. Where an entry is no address, the way is known only as far as the
    /// proxy that wrote it. A proxy that writes one header passes a stranger's other one on as it is: where it is not known which
    /// header they write, there are both and they disagree, neither is believed.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap, written: ForwardedHeader) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        let by_custom = || forwarded::x_forwarded_for(headers).map(|hops| self.farthest(peer, hops));
        let by_standard = || forwarded::forwarded(headers).map(|hops| self.farthest(peer, hops));
        match written {
            ForwardedHeader::XForwardedFor => by_custom().unwrap_or(peer),
            ForwardedHeader::Forwarded => by_standard().unwrap_or(peer),
            ForwardedHeader::Either => match (by_custom(), by_standard()) {
                (None, None) => peer,
                (Some(client), None) | (None, Some(client)) => client,
                (Some(client), Some(same)) if client == same => client,
                (Some(_), Some(_)) => peer,
            },
        }
    }

    /// Whether nobody stands behind a connection from `peer`. One of our proxies speaks for itself only where it says nothing of a
    /// client at all: where what it says cannot be believed there is one all the same. `peer` is in its shortest form.
    pub fn is_last(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        !self.contains(peer)
            || (forwarded::x_forwarded_for(headers).is_none() && forwarded::forwarded(headers).is_none())
    }

    /// As far from `peer` as proxies of ours vouch for.
    fn farthest(&self, peer: IpAddr, hops: Hops) -> IpAddr {
        let mut farthest = peer;
        for hop in hops.nearest_first() {
            let Some(address) = hop else { break };
            farthest = address;
            if !self.contains(address) {
                break;
            }
        }
        farthest
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These, and others.
    pub fn and(&self, others: &Self) -> Self {
        Self([self.0.as_slice(), &others.0].concat())
    }

    /// `address` is in its shortest form.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const PROXIES: &str = "10.0.0.0/8, 192.0.2.7, 2001:db8:1::/48";

    fn read(headers: &[(&'static str, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let proxies: TrustedProxies = PROXIES.parse().unwrap();
        let client = proxies.client(peer.parse().unwrap(), &read(headers), ForwardedHeader::Either);
        client.to_string()
    }

    fn x_forwarded_for(lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        client("10.1.2.3", &lines)
    }

    fn forwarded(lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
        client("10.1.2.3", &lines)
    }

    #[test]
    fn nobody_but_a_proxy_of_ours_is_believed() {
        let lies = [
            ("x-forwarded-for", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9"),
            ("x-real-ip", "203.0.113.9"),
        ];
        assert_eq!(client("198.51.100.1", &lies), "198.51.100.1");
        assert_eq!(client("::ffff:198.51.100.1", &lies), "198.51.100.1");
        assert_eq!(client("10.1.2.3", &lies[2..]), "10.1.2.3");
        assert_eq!(
            TrustedProxies::default()
                .client("10.1.2.3".parse().unwrap(), &HeaderMap::new(), ForwardedHeader::Either)
                .to_string(),
            "10.1.2.3"
        );
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_is_the_client() {
        assert_eq!(x_forwarded_for(&["203.0.113.9"]), "203.0.113.9");
        assert_eq!(x_forwarded_for(&["1.1.1.1, 203.0.113.9, 192.0.2.7"]), "203.0.113.9");
        assert_eq!(
            x_forwarded_for(&["1.1.1.1", "203.0.113.9,10.9.9.9", "192.0.2.7"]),
            "203.0.113.9"
        );
        assert_eq!(x_forwarded_for(&["::ffff:203.0.113.9, ::ffff:10.9.9.9"]), "203.0.113.9");
        assert_eq!(x_forwarded_for(&["2001:DB8:2::0009, 2001:db8:1::5"]), "2001:db8:2::9");
        // Within our own networks the farthest is as good as a client.
        assert_eq!(x_forwarded_for(&["10.5.5.5, 10.9.9.9"]), "10.5.5.5");
        assert_eq!(x_forwarded_for(&[]), "10.1.2.3");
    }

    #[test]
    fn ports_are_left_out() {
        assert_eq!(x_forwarded_for(&["203.0.113.9:4711, 10.9.9.9:80"]), "203.0.113.9");
        assert_eq!(x_forwarded_for(&["[2001:db8:2::9]:4711"]), "2001:db8:2::9");
        assert_eq!(x_forwarded_for(&["[2001:db8:2::9]"]), "2001:db8:2::9");
    }

    #[test]
    fn the_standard_header_says_the_same() {
        assert_eq!(forwarded(&["for=203.0.113.9"]), "203.0.113.9");
        assert_eq!(
            forwarded(&[r#"for=1.1.1.1, For="203.0.113.9:4711";by=10.0.0.1;proto=https, for=192.0.2.7;host="a,b;c""#]),
            "203.0.113.9"
        );
        assert_eq!(
            forwarded(&[r#"proto=https ; for="[2001:db8:2::9]:_x""#]),
            "2001:db8:2::9"
        );
        assert_eq!(forwarded(&["for=1.1.1.1", "for=203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn behind_an_entry_that_is_no_address_nothing_is_believed() {
        for broken in [
            "unknown",
            "_hidden",
            "",
            "203.0.113",
            "203.0.113.9:",
            "203.0.113.9:80:80",
            "[2001:db8::1",
            "fe80::1%eth0",
            "\u{e9}",
            "203.0.113.9 1.1.1.1",
        ] {
            assert_eq!(
                x_forwarded_for(&[&format!("1.1.1.1, {broken}, 192.0.2.7")]),
                "192.0.2.7",
                "{broken}"
            );
            assert_eq!(x_forwarded_for(&["1.1.1.1", broken]), "10.1.2.3", "{broken}");
        }
        for broken in [
            "for=unknown",
            "for=_hidden",
            "proto=https",
            "",
            "for",
            "for=203.0.113.9;for=203.0.113.9",
            r#"for="203.0.113.9"#,
            r#"for="203.0.113\.9""#,
            r#"for="[2001:db8:2::9"; by="]""#,
        ] {
            assert_eq!(forwarded(&["for=1.1.1.1", broken]), "10.1.2.3", "{broken}");
        }
        assert_eq!(forwarded(&["for=1.1.1.1, for=unknown, for=192.0.2.7"]), "192.0.2.7");
    }

    #[test]
    fn of_two_headers_that_disagree_neither_is_believed() {
        let custom = ("x-forwarded-for", "203.0.113.9, 192.0.2.7");
        assert_eq!(
            client("10.1.2.3", &[custom, ("forwarded", "for=203.0.113.9")]),
            "203.0.113.9"
        );
        assert_eq!(client("10.1.2.3", &[custom, ("forwarded", "for=1.1.1.1")]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &[custom, ("forwarded", "for=unknown")]), "10.1.2.3");
    }

    #[test]
    fn where_it_is_known_which_header_the_proxies_write_the_other_one_says_nothing() {
        let proxies: TrustedProxies = PROXIES.parse().unwrap();
        let client = |written, headers: &[(&'static str, &str)]| {
            let client = proxies.client("10.1.2.3".parse().unwrap(), &read(headers), written);
            client.to_string()
        };
        let headers = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=198.51.100.1")];
        for (written, expected) in [
            (ForwardedHeader::Either, "10.1.2.3"),
            (ForwardedHeader::XForwardedFor, "203.0.113.9"),
            (ForwardedHeader::Forwarded, "198.51.100.1"),
        ] {
            assert_eq!(client(written, &headers), expected, "{written:?}");
        }
        assert_eq!(client(ForwardedHeader::XForwardedFor, &headers[1..]), "10.1.2.3");
        assert_eq!(client(ForwardedHeader::Forwarded, &headers[..1]), "10.1.2.3");
    }

    #[test]
    fn a_proxy_speaks_for_itself_where_it_names_nobody_and_a_stranger_always() {
        let is_last = |peer: &str, headers: &[(&'static str, &str)]| {
            let proxies: TrustedProxies = PROXIES.parse().unwrap();
            proxies.is_last(peer.parse().unwrap(), &read(headers))
        };
        assert!(is_last("10.1.2.3", &[("x-real-ip", "203.0.113.9")]));
        assert!(is_last("198.51.100.1", &[("forwarded", "for=203.0.113.9")]));
        for named in [
            &[("x-forwarded-for", "203.0.113.9")][..],
            &[("forwarded", "for=203.0.113.9")],
            &[("forwarded", "for=unknown")],
            &[("x-forwarded-for", "")],
            &[("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=1.1.1.1")],
        ] {
            assert!(!is_last("10.1.2.3", named), "{named:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in [
            "10.0.0.0/33",
            "10.0.0",
            "proxy.example",
            "10.0.0.0/8 10.1.0.0/8",
            "::/0",
            "0.0.0.0/0",
        ] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
        let mapped: TrustedProxies = "::ffff:10.0.0.0/104".parse().unwrap();
        assert_eq!(mapped, "10.0.0.0/8".parse().unwrap());
    }

    proptest! {
        #[test]
        fn whatever_stands_to_the_left_of_the_client_changes_nothing(left in "[ -~]{0,60}", more in "[ -~é]{0,20}") {
            let lines = [left.as_str(), &format!("{more},203.0.113.9, 10.9.9.9")];
            prop_assert_eq!(x_forwarded_for(&lines), "203.0.113.9");
            let lines = [left.as_str(), &format!("{more},for=203.0.113.9, for=\"10.9.9.9:80\";proto=https")];
            prop_assert_eq!(forwarded(&lines), "203.0.113.9");
        }
    }
}
