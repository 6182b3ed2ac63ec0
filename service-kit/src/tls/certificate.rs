//! What an X.509 certificate says. Whether it is to be believed is decided in the handshake, not here.

use chrono::{DateTime, Utc};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Name};

/// The parts of a certificate that Voltgate looks at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// `CN` of the subject.
    pub common_names: Vec<String>,
    /// `O` of the subject.
    pub organizations: Vec<String>,
    /// Names in `subjectAltName`.
    pub dns_names: Vec<String>,
    pub not_after: DateTime<Utc>,
}

/// The bytes are no X.509 certificate.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the certificate cannot be read")]
pub struct Unreadable;

impl Certificate {
    /// # Errors
    /// The bytes are no certificate in DER.
    pub fn parse(der: &[u8]) -> Result<Self, Unreadable> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Unreadable)?;
        let alternatives = certificate.subject_alternative_name().map_err(|_| Unreadable)?;
        let dns_names = alternatives
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            })
            .collect();
        Ok(Self {
            common_names: common_names(certificate.subject()),
            organizations: organizations(certificate.subject()),
            dns_names,
            not_after: DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0).ok_or(Unreadable)?,
        })
    }

    /// Whether it was made out to `name`, as a common name or a DNS name.
    pub fn is_for(&self, name: &str) -> bool {
        self.common_names
            .iter()
            .chain(&self.dns_names)
            .any(|own| own.eq_ignore_ascii_case(name))
    }
}

fn common_names(subject: &X509Name<'_>) -> Vec<String> {
    subject
        .iter_common_name()
        .filter_map(|part| part.as_str().ok())
        .map(str::to_owned)
        .collect()
}

fn organizations(subject: &X509Name<'_>) -> Vec<String> {
    subject
        .iter_organization()
        .filter_map(|part| part.as_str().ok())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use testbed::certificates::{Authority, Subject};

    use super::*;

    #[test]
    fn names_and_validity_are_read() {
        let subject = Subject::named("CP-0815").organization("Volt AG").dns("station.example");
        let made = Authority::new("test").issue(&subject);
        let certificate = Certificate::parse(&made.der()).unwrap();
        assert_eq!(certificate.common_names, ["CP-0815"]);
        assert_eq!(certificate.organizations, ["Volt AG"]);
        assert_eq!(certificate.dns_names, ["station.example"]);
        assert!(certificate.not_after > Utc::now());
        assert!(certificate.is_for("cp-0815") && certificate.is_for("station.example"));
        assert!(!certificate.is_for("Volt AG"));
    }

    #[test]
    fn other_bytes_are_refused() {
        assert!(Certificate::parse(b"").is_err());
        assert!(Certificate::parse(&[0x30, 0x03, 0x02, 0x01, 0x00]).is_err());
    }
}
