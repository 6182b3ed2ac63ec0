//! Who is at the other end: not who calls, which is [`Caller`](super::Caller), but from where and with what.

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;

/// The address of the client, as the gateway reports it.
pub const ADDRESS: &str = "voltgate-client-address";

/// What the client says it is (`User-Agent`), as the gateway reports it.
pub const DEVICE: &str = "voltgate-client-device";

/// A service token by which whoever reports a client proves to be one of Voltgate's own processes.
pub const REPORTER: &str = "voltgate-reporter";

/// No device is described at greater length, in bytes: as much of a `User-Agent` as anybody wants to read in a list of sessions.
pub const LONGEST_DEVICE: usize = 200;

/// Put into the extensions of every request by [`AccessLayer`](super::AccessLayer).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Client {
    /// An IPv4 address is never written as an IPv6 one.
    pub address: IpAddr,
    /// Whatever the client claims to be, in up to 200 visible ASCII characters.
    pub device: Option<String>,
}

impl Client {
    /// The client of a request that came through the layer; nowhere where it did not.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_else(Self::nowhere)
    }

    fn nowhere() -> Self {
        Self::at(Ipv4Addr::UNSPECIFIED.into())
    }

    /// A client of which no more is known.
    pub fn at(address: IpAddr) -> Self {
        Self {
            address: address.to_canonical(),
            device: None,
        }
    }

    /// As the other process says, which has proven to be one of ours.
    pub(super) fn reported(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let address: IpAddr = text(ADDRESS)?.parse().ok()?;
        let device = text(DEVICE).map(|device| device.chars().take(LONGEST_DEVICE).collect());
        Some(Self {
            device,
            ..Self::at(address)
        })
    }

    /// The other end of the connection itself, such as somebody with a gRPC client.
    pub(super) fn direct(address: Option<IpAddr>, headers: &HeaderMap) -> Self {
        let device = headers
            .get(http::header::USER_AGENT)
            .and_then(|value| value.to_str().ok());
        Self {
            device: device.map(|device| device.chars().take(LONGEST_DEVICE).collect()),
            ..address.map_or_else(Self::nowhere, Self::at)
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn what_is_reported_is_taken_over() {
        let client = Client::reported(&headers(&[(ADDRESS, "192.0.2.7"), (DEVICE, "curl/8")]));
        let expected = Client {
            address: IpAddr::from([192, 0, 2, 7]),
            device: Some("curl/8".to_owned()),
        };
        assert_eq!(client, Some(expected));
        assert_eq!(Client::reported(&headers(&[(DEVICE, "curl/8")])), None);
        assert_eq!(Client::reported(&headers(&[(ADDRESS, "localhost")])), None);
    }

    #[test]
    fn an_ipv4_address_reads_the_same_in_either_form() {
        let client = Client::reported(&headers(&[(ADDRESS, "::ffff:192.0.2.7")]));
        assert_eq!(client.map(|client| client.address), Some(IpAddr::from([192, 0, 2, 7])));
    }
}
