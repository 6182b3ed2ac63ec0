//! What Voltgate tells of a certificate, and how OCPP names one: by hashes of its issuer (RFC 6960) and its serial number.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    pub common_name: Option<String>,
    /// Hexadecimal without leading zeroes, in upper case.
    pub serial_number: String,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    /// Of a certificate that vouches for itself, with SHA-256, in lower case.
    pub root_hashes: Option<RootHashes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootHashes {
    pub issuer_name: String,
    pub issuer_key: String,
}

impl Details {
    /// Of the first certificate in a PEM text; None where that cannot be read.
    pub fn of_first(text: &str) -> Option<Self> {
        let pem = Pem::iter_from_buffer(text.as_bytes()).next()?.ok()?;
        Self::of(&pem.parse_x509().ok()?)
    }

    /// Of a certificate in DER.
    pub fn of_der(der: &[u8]) -> Option<Self> {
        Self::of(&X509Certificate::from_der(der).ok()?.1)
    }

    fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let time = |seconds| DateTime::from_timestamp(seconds, 0);
        let names_itself = certificate.subject() == certificate.issuer();
        Some(Self {
            common_name: certificate
                .subject()
                .iter_common_name()
                .next()
                .and_then(|name| name.as_str().ok())
                // PostgreSQL takes no NUL.
                .map(|name| name.replace('\0', "\u{fffd}")),
            serial_number: serial_number(certificate.raw_serial()),
            not_before: time(certificate.validity().not_before.timestamp())?,
            not_after: time(certificate.validity().not_after.timestamp())?,
            root_hashes: names_itself.then(|| RootHashes {
                issuer_name: hash(certificate.issuer().as_raw()),
                issuer_key: hash(&certificate.public_key().subject_public_key.data),
            }),
        })
    }
}

fn serial_number(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    normal_serial_number(&digits)
}

/// As charge points may write it differently.
pub fn normal_serial_number(digits: &str) -> String {
    let digits = digits.trim().trim_start_matches('0').to_ascii_uppercase();
    if digits.is_empty() { "0".to_owned() } else { digits }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use testbed::certificates::Authority;

    use super::*;

    #[test]
    fn a_root_has_hashes_and_what_is_no_certificate_has_nothing() {
        let details = Details::of_first(&Authority::new("root").pem()).unwrap();
        assert_eq!(details.common_name.as_deref(), Some("root"));
        assert!(details.not_before < details.not_after);
        let hashes = details.root_hashes.unwrap();
        assert_eq!((hashes.issuer_name.len(), hashes.issuer_key.len()), (64, 64));
        assert_eq!(Details::of_first("no certificate"), None);
    }

    #[test]
    fn a_serial_number_has_no_leading_zeroes() {
        assert_eq!(serial_number(&[0, 0x0f, 0xff]), "FFF");
        assert_eq!(normal_serial_number("000fff"), "FFF");
        assert_eq!(normal_serial_number("00"), "0");
    }
}
