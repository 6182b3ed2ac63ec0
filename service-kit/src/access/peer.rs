//! How Voltgate's own processes prove themselves to each other by mutual TLS.

use http::HeaderMap;

use crate::tls::Peer;

/// Names that certificates of Voltgate's own processes have, as common name or DNS name. People with a certificate of
/// the same authority, such as somebody with grpcurl, have another, and are nobody special.
const PROCESSES: [&str; 5] = [
    "gateway",
    "auth-service",
    "charger-service",
    "email-service",
    "voltgate",
];

/// Says in whose name a process calls, when it calls for itself. A call that it only passes on is without: otherwise
/// whoever gets something passed on would be taken for the process. The gateway lets nothing in under this name.
pub const CALLER: &str = "voltgate-caller";

/// The process that calls, where it says so and its certificate proves it.
pub(super) fn proven(headers: &HeaderMap, peer: Option<&Peer>) -> Option<&'static str> {
    let certificate = peer?.certificate.as_ref()?;
    let claimed = headers.get(CALLER)?;
    let process = PROCESSES.into_iter().find(|process| claimed == process)?;
    certificate.is_for(process).then_some(process)
}

/// Whether the other side is one of our processes, for itself or for somebody whose call it passes on.
pub(super) fn is_process(peer: Option<&Peer>) -> bool {
    peer.and_then(|peer| peer.certificate.as_ref())
        .is_some_and(|certificate| PROCESSES.into_iter().any(|process| certificate.is_for(process)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderName, HeaderValue};
    use testbed::certificates::{Authority, Subject};

    use super::*;
    use crate::tls::Certificate;

    fn certificate(subject: &Subject) -> Peer {
        let made = Authority::new("test").issue(subject);
        Peer {
            address: None,
            certificate: Certificate::parse(&made.der()).ok().map(Arc::new),
        }
    }

    fn claim(process: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(CALLER), HeaderValue::from_static(process))])
    }

    #[test]
    fn a_process_is_who_its_certificate_says() {
        let by_name = certificate(&Subject::named("gateway"));
        let by_dns = certificate(&Subject::named("gw-1").dns("gateway").dns("gw-1.internal"));
        assert_eq!(proven(&claim("gateway"), Some(&by_name)), Some("gateway"));
        assert_eq!(proven(&claim("gateway"), Some(&by_dns)), Some("gateway"));
    }

    #[test]
    fn anybody_else_is_not() {
        let gateway = certificate(&Subject::named("gateway"));
        let person = certificate(&Subject::named("ada"));
        assert_eq!(proven(&claim("auth-service"), Some(&gateway)), None);
        assert_eq!(proven(&claim("gateway"), Some(&person)), None);
        assert_eq!(proven(&claim("ada"), Some(&person)), None, "not a process of ours");
        assert_eq!(proven(&claim("gateway"), Some(&Peer::default())), None);
        assert_eq!(proven(&claim("gateway"), None), None);
    }

    #[test]
    fn a_call_that_is_passed_on_is_not_the_process_own() {
        let gateway = certificate(&Subject::named("gateway"));
        assert_eq!(proven(&HeaderMap::new(), Some(&gateway)), None);
        assert!(is_process(Some(&gateway)), "it is one of our processes all the same");
        assert!(!is_process(Some(&certificate(&Subject::named("ada")))));
        assert!(!is_process(Some(&Peer::default())) && !is_process(None));
    }
}
