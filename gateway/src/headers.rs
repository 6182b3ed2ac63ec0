//! Which headers pass the door, and which way.
//!
//! Names that the services trust are ours to set (`client`), and so are, with REST, those that gRPC gives a meaning: whatever comes in
//! under them is dropped. Of a REST request a short list goes to the services; everything else in it stays here. A gRPC call
//! goes as it is otherwise.

use http::header::{self, HeaderMap, HeaderName};

use crate::client::{CLIENT_CERT, CLIENT_CERT_CHAIN};

/// Dropped by name. What they say was read before, where a trusted proxy said it.
const DROPPED: [HeaderName; 4] = [
    header::FORWARDED,
    HeaderName::from_static("x-real-ip"),
    CLIENT_CERT,
    CLIENT_CERT_CHAIN,
];

/// Dropped by how the name begins.
const DROPPED_PREFIXES: [&str; 2] = ["x-forwarded-", "voltgate-"];

/// Meant for one hop only (RFC 9110, section 7.6.1; RFC 9113, section 8.2.2), or said anew at each.
const OF_THIS_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    header::CONTENT_LENGTH,
];

/// What a service gets to see of a request, as metadata.
const TO_SERVICES: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::IF_MATCH,
    header::RANGE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    crate::request_id::HEADER,
];

/// What a client gets to see of a service's metadata.
const TO_CLIENTS: [HeaderName; 9] = [
    header::ACCEPT_RANGES,
    header::CONTENT_DISPOSITION,
    header::CONTENT_RANGE,
    header::LOCATION,
    header::ETAG,
    header::CACHE_CONTROL,
    header::RETRY_AFTER,
    RATELIMIT,
    RATELIMIT_POLICY,
];

/// What it gets to see where the service refuses.
const OF_REFUSALS: [HeaderName; 3] = [header::RETRY_AFTER, RATELIMIT, RATELIMIT_POLICY];

/// How much a client may still ask for (draft-ietf-httpapi-ratelimit-headers).
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Tells a service of the method where it is `HEAD`, which wants no body: for a service to which it means something that all of
/// one was read.
pub const METHOD: HeaderName = HeaderName::from_static("voltgate-method");

/// In the metadata of a raw stream: how many bytes will come. gRPC has its own use for `content-length`.
pub const BODY_LENGTH: HeaderName = HeaderName::from_static("voltgate-body-length");

/// Headers that `Connection` may name though they are ours to read.
const OURS: [&str; 4] = ["upgrade", "close", "keep-alive", "authorization"];

/// Drops what must not come in with REST.
pub fn clean(headers: &mut HeaderMap) {
    let hop_by_hop = named_by_connection(headers);
    drop_if(headers, |name| is_trusted_by_services(name) || is_of_grpc(name));
    for name in hop_by_hop {
        headers.remove(name);
    }
}

/// Drops from a gRPC call what must not come in, and from its answer what must not go out. Metadata and the headers of
/// gRPC itself are for the two ends to set.
pub fn clean_call(headers: &mut HeaderMap) {
    drop_if(headers, |name| {
        is_trusted_by_services(name) || OF_THIS_HOP.contains(name)
    });
}

fn drop_if(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let names: Vec<_> = headers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_trusted_by_services(name: &HeaderName) -> bool {
    DROPPED.contains(name) || DROPPED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}

/// What gRPC gives a meaning, REST may not say.
fn is_of_grpc(name: &HeaderName) -> bool {
    name.as_str().starts_with("grpc-") || name.as_str().ends_with("-bin")
}

/// Headers meant for this hop only (RFC 9110, section 7.6.1).
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let names = values
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase());
    names
        .filter(|name| !OURS.contains(&name.as_str()))
        .filter_map(|name| name.parse().ok())
        .collect()
}

/// The headers that go to a service.
pub fn to_service(headers: &HeaderMap) -> HeaderMap {
    pick(headers, &TO_SERVICES)
}

/// The metadata of an answer that goes to the client.
pub fn to_client(metadata: &HeaderMap) -> HeaderMap {
    pick(metadata, &TO_CLIENTS)
}

/// The metadata of a refusal that goes to the client.
pub fn of_refusal(metadata: &HeaderMap) -> HeaderMap {
    pick(metadata, &OF_REFUSALS)
}

fn pick(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    names
        .iter()
        .filter_map(|name| Some((name.clone(), headers.get(name)?.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn names_that_services_trust_do_not_come_in() {
        let mut headers = headers(&[
            ("authorization", "Bearer x"),
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("client-cert", ":AAAA:"),
            ("client-cert-chain", ":AAAA:"),
            ("voltgate-peer", "1.2.3.4"),
            ("voltgate-client-address", "1.2.3.4"),
            ("voltgate-client-device", "x"),
            ("voltgate-reporter", "Bearer x"),
            ("grpc-timeout", "1H"),
            ("trace-bin", "AAAA"),
            ("x-hop", "1"),
            ("connection", "Upgrade, X-Hop, authorization"),
            ("upgrade", "websocket"),
        ]);
        clean(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "connection", "upgrade"]);
    }

    #[test]
    fn a_call_keeps_its_metadata_and_nothing_of_the_hop() {
        let mut headers = headers(&[
            ("grpc-timeout", "1S"),
            ("trace-bin", "AAAA"),
            ("te", "trailers"),
            ("host", "x"),
            ("voltgate-peer", "1.2.3.4"),
            ("voltgate-client-address", "1.2.3.4"),
            ("voltgate-client-device", "x"),
            ("voltgate-reporter", "Bearer x"),
            ("x-forwarded-for", "1.2.3.4"),
            ("client-cert", ":AAAA:"),
            ("client-cert-chain", ":AAAA:"),
        ]);
        clean_call(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["grpc-timeout", "trace-bin"]);
    }

    #[test]
    fn services_and_clients_see_only_what_is_meant_for_them() {
        let all = headers(&[
            ("authorization", "a"),
            ("cookie", "b"),
            ("if-match", "c"),
            ("etag", "d"),
            ("x-internal", "e"),
        ]);
        assert_eq!(to_service(&all), headers(&[("authorization", "a"), ("if-match", "c")]));
        assert_eq!(to_client(&all), headers(&[("etag", "d")]));
        assert_eq!(of_refusal(&all), HeaderMap::new());
        let limits = headers(&[("ratelimit", "x"), ("ratelimit-policy", "y"), ("retry-after", "z")]);
        assert_eq!(to_client(&limits), limits);
        assert_eq!(of_refusal(&limits), limits);
    }
}
