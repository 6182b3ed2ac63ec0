//! Proxies that end TLS before the gateway, and what they say of a client's handshake: that there was one, in
//! `X-Forwarded-Proto`, and which certificate was shown in it, in `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
//!
//! That the client holds the certificate's key is the proxy's to find out, and that is why it has to be listed. Whether the
//! certificate is from a known authority and within its time is found out here, as in a handshake of our own.

use std::net::IpAddr;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use service_kit::reason::Reason;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tonic::Status;

use super::TrustedProxies;
use crate::server::{ClientCertificates, TlsSession};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
pub const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// What stands for the version of a handshake that we had no part in.
const VERSION: &str = "proxy";

/// A chain that is longer leads nowhere.
const MOST_CERTIFICATES: usize = 10;

/// Padding may be there or not (RFC 8941, section 4.2.7).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Proxies that are believed about TLS, and whose certificates they may hand over.
pub struct Terminators {
    proxies: TrustedProxies,
    certificates: ClientCertificates,
}

/// A handshake as a proxy tells of it.
#[derive(Clone, Debug)]
pub struct Terminated {
    /// The client's own certificate, and those that it showed with it; empty where it showed none.
    shown: Result<Vec<CertificateDer<'static>>, Garbled>,
}

/// A header is not as RFC 9440 has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the proxy does not hand it over as RFC 9440 has it")]
struct Garbled;

impl Terminators {
    pub fn new(proxies: TrustedProxies, certificates: ClientCertificates) -> Self {
        Self { proxies, certificates }
    }

    /// `address` is in its shortest form.
    pub fn include(&self, address: IpAddr) -> bool {
        self.proxies.contains(address)
    }

    pub fn certificates(&self) -> &ClientCertificates {
        &self.certificates
    }

    /// The handshake, as if it had been ours.
    ///
    /// # Errors
    /// A certificate was shown that is not to be believed.
    pub fn session(&self, terminated: &Terminated) -> Result<TlsSession, Status> {
        let refused = |why: &dyn std::fmt::Display| {
            // For whoever wonders why a charge point does not come in.
            tracing::info!(error = %why, "A certificate that a proxy handed over is refused");
            Reason::StationUnauthorized.status("The certificate shown is not accepted")
        };
        let shown = terminated.shown.as_ref().map_err(|garbled| refused(garbled))?;
        if let Some(own) = shown.first() {
            self.certificates.verify(shown).map_err(|unproven| refused(&unproven))?;
            return Ok(TlsSession {
                version: VERSION,
                certificate: Some(Bytes::copy_from_slice(own)),
            });
        }
        Ok(TlsSession {
            version: VERSION,
            certificate: None,
        })
    }
}

impl Terminated {
    /// Nothing where the client spoke no TLS. A header that a proxy adds instead of setting it comes twice where a client sends
    /// it too, and then says nothing.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let protocol = only(headers, &X_FORWARDED_PROTO).ok()??;
        let secure = ["https", "wss"].iter().any(|name| protocol.eq_ignore_ascii_case(name));
        secure.then(|| Self { shown: shown(headers) })
    }
}

fn shown(headers: &HeaderMap) -> Result<Vec<CertificateDer<'static>>, Garbled> {
    let Some(own) = only(headers, &CLIENT_CERT)?.filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    let own = certificates(&binary(own)?)?;
    if own.len() > 1 {
        return Err(Garbled);
    }
    let mut shown = own;
    for line in headers.get_all(CLIENT_CERT_CHAIN) {
        let entries = text(line)?.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        for entry in entries {
            shown.extend(certificates(&binary(entry)?)?);
        }
    }
    if shown.len() > MOST_CERTIFICATES {
        return Err(Garbled);
    }
    Ok(shown)
}

/// The value of a header that may come once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Garbled> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(Garbled),
        None => first.map(text).transpose(),
    }
}

fn text(value: &HeaderValue) -> Result<&str, Garbled> {
    value.to_str().map(str::trim).map_err(|_| Garbled)
}

/// A byte sequence between colons (RFC 8941, section 3.3.5).
fn binary(text: &str) -> Result<Vec<u8>, Garbled> {
    let inside = text.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
    BASE64.decode(inside.ok_or(Garbled)?).map_err(|_| Garbled)
}

/// The certificates in a byte sequence, none where it is empty. There is one, but HAProxy has those of a chain one after the
/// other.
fn certificates(mut der: &[u8]) -> Result<Vec<CertificateDer<'static>>, Garbled> {
    let mut certificates = Vec::new();
    while !der.is_empty() {
        let (certificate, rest) = der.split_at_checked(length(der).ok_or(Garbled)?).ok_or(Garbled)?;
        certificates.push(CertificateDer::from(certificate.to_vec()));
        der = rest;
    }
    Ok(certificates)
}

/// The bytes of the SEQUENCE that `der` begins with. A certificate's are between 256 bytes and what a header can hold, so its
/// length takes two bytes (X.690, section 8.1.3.5), or one where it is very short.
fn length(der: &[u8]) -> Option<usize> {
    match *der {
        [0x30, 0x82, high, low, ..] => Some(4 + usize::from(u16::from_be_bytes([high, low]))),
        [0x30, 0x81, length, ..] => Some(3 + usize::from(length)),
        [0x30, length @ 0..=0x7f, ..] => Some(2 + usize::from(length)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ONE: &[u8] = &[0x30, 0x03, 1, 2, 3];
    const TWO: &[u8] = &[0x30, 0x01, 9];

    fn sequence(parts: &[&[u8]]) -> String {
        format!(":{}:", BASE64.encode(parts.concat()))
    }

    fn read(pairs: &[(&'static str, &str)]) -> Option<Result<Vec<Vec<u8>>, Garbled>> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let shown = Terminated::read(&headers)?.shown;
        Some(shown.map(|chain| chain.iter().map(|der| der.to_vec()).collect()))
    }

    fn after_https(pairs: &[(&'static str, &str)]) -> Result<Vec<Vec<u8>>, Garbled> {
        read(&[&[("x-forwarded-proto", "https")], pairs].concat()).unwrap()
    }

    #[test]
    fn a_client_spoke_tls_where_the_proxy_says_so_once() {
        for (values, spoke) in [
            (&["https"][..], true),
            (&["WSS"], true),
            (&["http"], false),
            (&["https, http"], false),
            (&["https", "https"], false),
            (&[""], false),
            (&[], false),
        ] {
            let pairs: Vec<_> = values.iter().map(|value| ("x-forwarded-proto", *value)).collect();
            assert_eq!(read(&pairs).is_some(), spoke, "{values:?}");
        }
        assert_eq!(read(&[("client-cert", &sequence(&[ONE]))]), None);
    }

    #[test]
    fn a_certificate_comes_with_its_chain_entry_by_entry_or_all_in_one() {
        let own = ("client-cert", sequence(&[ONE]));
        let own = (own.0, own.1.as_str());
        let entries = format!("{}, {}", sequence(&[TWO]), sequence(&[ONE]));
        let expected = Ok(vec![ONE.to_vec(), TWO.to_vec(), ONE.to_vec()]);
        assert_eq!(after_https(&[own, ("client-cert-chain", &entries)]), expected);
        let lines = [sequence(&[TWO]), sequence(&[ONE])];
        let lines = [
            ("client-cert-chain", lines[0].as_str()),
            ("client-cert-chain", &lines[1]),
        ];
        assert_eq!(after_https(&[&[own], &lines[..]].concat()), expected);
        let together = sequence(&[TWO, ONE]);
        assert_eq!(after_https(&[own, ("client-cert-chain", &together)]), expected);
        let unpadded = own.1.replace('=', "");
        assert_eq!(after_https(&[("client-cert", &unpadded)]), Ok(vec![ONE.to_vec()]));
    }

    #[test]
    fn where_none_was_shown_there_may_be_no_header_or_an_empty_one() {
        for pairs in [&[][..], &[("client-cert", "")], &[("client-cert", "::")]] {
            assert_eq!(after_https(pairs), Ok(vec![]), "{pairs:?}");
        }
    }

    #[test]
    fn what_is_garbled_is_no_certificate_and_not_the_lack_of_one() {
        let (one, two, eleven) = (sequence(&[ONE]), sequence(&[ONE, TWO]), sequence(&[TWO; 11]));
        let cut = sequence(&[&ONE[..4]]);
        for pairs in [
            &[("client-cert", "-----BEGIN CERTIFICATE-----")][..],
            &[("client-cert", ":!:")],
            &[("client-cert", ":AAAA:")],
            &[("client-cert", cut.as_str())],
            &[("client-cert", two.as_str())],
            &[("client-cert", one.as_str()), ("client-cert", one.as_str())],
            &[("client-cert", one.as_str()), ("client-cert-chain", "x")],
            &[("client-cert", one.as_str()), ("client-cert-chain", eleven.as_str())],
        ] {
            assert_eq!(after_https(pairs), Err(Garbled), "{pairs:?}");
        }
    }
}
