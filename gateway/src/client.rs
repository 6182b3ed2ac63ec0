//! Who is at the other end, and how the services are told.
//!
//! A service sees the gateway's connection only, and may be called by others too. So each call that is passed on says where its
//! client is and what it calls itself, and proves by a token of the gateway's own that this can be believed.

mod forwarded;
mod proxies;
mod terminators;

use std::fmt;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use axum::extract::Request;
use chrono::{DateTime, TimeDelta, Utc};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use service_kit::access::ServiceTokens;
use service_kit::access::client::{self as metadata, LONGEST_DEVICE};
use service_kit::clock::SharedClock;
use service_kit::reason::internal;
use tonic::Status;

pub use proxies::{ForwardedHeader, TrustedProxies};
pub use terminators::{CLIENT_CERT, CLIENT_CERT_CHAIN, Terminators};

use crate::gateway::Gateway;
use crate::server::{Peer, TlsSession};
use terminators::Terminated;

/// Metadata of every call that is made for a client.
const ADDRESS: HeaderName = HeaderName::from_static(metadata::ADDRESS);
const DEVICE: HeaderName = HeaderName::from_static(metadata::DEVICE);
const REPORTER: HeaderName = HeaderName::from_static(metadata::REPORTER);

/// A service token lives for a minute.
const RENEWED_AFTER: TimeDelta = TimeDelta::seconds(30);

/// The one who makes a request. Put into the extensions of every request.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: IpAddr,
    /// What it calls itself, in visible ASCII characters.
    device: Option<HeaderValue>,
    tls: Tls,
}

/// The handshake of a client.
#[derive(Clone, Debug)]
enum Tls {
    None,
    WithUs(TlsSession),
    /// With a proxy that is believed. A certificate that was shown is yet to be verified.
    WithProxy(Terminated),
}

impl Client {
    /// What it calls itself, where it does.
    pub fn device(&self) -> Option<&str> {
        self.device.as_ref().and_then(|device| device.to_str().ok())
    }

    /// The TLS that it speaks, wherever that ends; nothing where it speaks none.
    ///
    /// # Errors
    /// It showed a certificate that is not to be believed. With us its handshake would have failed.
    pub fn tls(&self, gateway: &Gateway) -> Result<Option<TlsSession>, Status> {
        match (&self.tls, &gateway.terminators) {
            (Tls::WithUs(session), _) => Ok(Some(session.clone())),
            (Tls::WithProxy(terminated), Some(terminators)) => terminators.session(terminated).map(Some),
            (Tls::WithProxy(_), None) | (Tls::None, _) => Ok(None),
        }
    }
}

/// Finds out who makes a request, before the headers that tell are dropped.
pub fn identify(gateway: &Gateway, request: &mut Request) {
    if let Some(peer) = request.extensions().get::<Peer>() {
        let address = gateway
            .trusted_proxies
            .client(peer.address.ip(), request.headers(), gateway.forwarded_header);
        let client = Client {
            address,
            tls: tls(gateway, peer, request.headers()),
            device: request.headers().get(header::USER_AGENT).and_then(device),
        };
        request.extensions_mut().insert(client);
    }
}

/// Of the two at the ends of a connection through a proxy only the proxy knows how its client came: that the proxy itself came by
/// TLS, perhaps with a certificate of its own, says nothing of the client.
fn tls(gateway: &Gateway, peer: &Peer, headers: &HeaderMap) -> Tls {
    let from = peer.address.ip().to_canonical();
    if gateway
        .terminators
        .as_ref()
        .is_some_and(|proxies| proxies.include(from))
    {
        return Terminated::read(headers).map_or(Tls::None, Tls::WithProxy);
    }
    match &peer.tls {
        Some(session) if gateway.trusted_proxies.is_last(from, headers) => Tls::WithUs(session.clone()),
        _ => Tls::None,
    }
}

fn device(user_agent: &HeaderValue) -> Option<HeaderValue> {
    let bytes = user_agent.as_bytes().iter().copied();
    let visible = bytes.filter(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let text: Vec<_> = visible.take(LONGEST_DEVICE).collect();
    let text = text.trim_ascii();
    (!text.is_empty()).then(|| HeaderValue::from_bytes(text).ok()).flatten()
}

/// Says to services for whom the gateway calls them.
pub struct Reporter {
    tokens: ServiceTokens,
    clock: SharedClock,
    /// The newest token, and when it was made. Signing one for each call would cost more than the rest of the call.
    newest: RwLock<Option<(DateTime<Utc>, HeaderValue)>>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reporter")
    }
}

impl Reporter {
    pub fn new(tokens: ServiceTokens, clock: SharedClock) -> Self {
        Self {
            tokens,
            clock,
            newest: RwLock::default(),
        }
    }

    /// Adds to the metadata of a call who its client is.
    ///
    /// # Errors
    /// No token can be made.
    pub fn tell(&self, client: &Client, metadata: &mut HeaderMap) -> Result<(), Status> {
        let address = HeaderValue::try_from(client.address.to_string()).map_err(|error| internal(&error))?;
        metadata.insert(ADDRESS, address);
        match &client.device {
            Some(device) => metadata.insert(DEVICE, device.clone()),
            None => metadata.remove(DEVICE),
        };
        metadata.insert(REPORTER, self.proof()?);
        Ok(())
    }

    fn proof(&self) -> Result<HeaderValue, Status> {
        let now = self.clock.now();
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner).clone();
        // A clock that was set back would make the token look young for long.
        let young = newest.filter(|(made_at, _)| (TimeDelta::zero()..RENEWED_AFTER).contains(&(now - *made_at)));
        if let Some((_, proof)) = young {
            return Ok(proof);
        }
        let bearer = self.tokens.bearer().map_err(|error| internal(&error))?;
        let mut proof = HeaderValue::try_from(bearer).map_err(|error| internal(&error))?;
        proof.set_sensitive(true);
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some((now, proof.clone()));
        Ok(proof)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use service_kit::access::ServiceSecret;
    use service_kit::clock::Clock;

    use super::*;

    fn named(user_agent: &[u8]) -> Option<String> {
        let device = device(&HeaderValue::from_bytes(user_agent).unwrap())?;
        Some(device.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_device_is_named_in_two_hundred_visible_characters() {
        assert_eq!(named(b" curl/8.5.0 ").as_deref(), Some("curl/8.5.0"));
        assert_eq!(named("Ladesäule\t(Köln)".as_bytes()).as_deref(), Some("Ladesule(Kln)"));
        assert_eq!(named(&[b'x'; 300]).unwrap().len(), 200);
        assert_eq!(named(b""), None);
        assert_eq!(named("ä".as_bytes()), None);
    }

    struct TestClock(Mutex<DateTime<Utc>>);

    impl Clock for TestClock {
        fn now(&self) -> DateTime<Utc> {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn a_token_is_made_anew_after_half_its_life_and_when_the_clock_was_set_back() {
        let clock = Arc::new(TestClock(Mutex::new(DateTime::UNIX_EPOCH)));
        let secret = ServiceSecret::new(b"a secret that exists for these tests only");
        let tokens = ServiceTokens::new("gateway", secret, clock.clone());
        let reporter = Reporter::new(tokens, clock.clone());
        let at = |seconds| {
            *clock.0.lock().unwrap() = DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
            reporter.proof().unwrap()
        };
        let first = at(1000);
        assert!(first.to_str().unwrap().starts_with("Bearer "));
        assert_eq!(at(1029), first);
        let second = at(1030);
        assert_ne!(second, first);
        assert_eq!(at(1059), second);
        assert_ne!(at(900), second);
    }
}
