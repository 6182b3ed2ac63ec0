//! The security whitepaper's messages about certificates, as far as answers to them change what is known: CertificateSigned
//! (5.1), DeleteCertificate (5.3), GetInstalledCertificateIds (5.7) and InstallCertificate (5.11).

use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSigned {
    /// PEM; the charge point's own first.
    pub certificate_chain: String,
}

impl CertificateSigned {
    pub fn read(payload: &RawValue) -> Result<CertificateSigned, Unreadable> {
        Ok(CertificateSigned {
            certificate_chain: Fields::of(payload).required_text("certificateChain")?,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallCertificate {
    pub certificate_type: String,
    /// PEM.
    pub certificate: String,
}

impl InstallCertificate {
    pub fn read(payload: &RawValue) -> Result<InstallCertificate, Unreadable> {
        let fields = Fields::of(payload);
        Ok(InstallCertificate {
            certificate_type: fields.required_text("certificateType")?,
            certificate: fields.required_text("certificate")?,
        })
    }
}

/// How OCPP names a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateHash {
    pub hash_algorithm: String,
    pub issuer_name_hash: String,
    pub issuer_key_hash: String,
    pub serial_number: String,
}

impl CertificateHash {
    /// None where a part is missing.
    fn read(fields: Fields<'_>) -> Option<CertificateHash> {
        Some(CertificateHash {
            hash_algorithm: fields.text("hashAlgorithm")?,
            issuer_name_hash: fields.text("issuerNameHash")?,
            issuer_key_hash: fields.text("issuerKeyHash")?,
            serial_number: fields.text("serialNumber")?,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteCertificate {
    pub certificate: CertificateHash,
}

impl DeleteCertificate {
    pub fn read(payload: &RawValue) -> Result<DeleteCertificate, Unreadable> {
        let field = "certificateHashData";
        let named = Fields::of(payload).object(field).and_then(CertificateHash::read);
        Ok(DeleteCertificate {
            certificate: named.ok_or(Unreadable { field })?,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetInstalledCertificateIds {
    pub certificate_type: String,
}

impl GetInstalledCertificateIds {
    pub fn read(payload: &RawValue) -> Result<GetInstalledCertificateIds, Unreadable> {
        Ok(GetInstalledCertificateIds {
            certificate_type: Fields::of(payload).required_text("certificateType")?,
        })
    }
}

/// A station's answer to GetInstalledCertificateIds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledCertificates {
    pub certificates: Vec<CertificateHash>,
}

impl InstalledCertificates {
    /// What names no certificate is passed over.
    pub fn read(payload: &RawValue) -> InstalledCertificates {
        let listed = Fields::of(payload).list("certificateHashData");
        InstalledCertificates {
            certificates: listed.into_iter().filter_map(CertificateHash::read).collect(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_list_of_certificates_passes_over_what_names_none() {
        let told = raw(r#"{"status": "Accepted", "certificateHashData": [
                {"hashAlgorithm": "SHA256", "issuerNameHash": "AB", "issuerKeyHash": "CD", "serialNumber": 12},
                {"hashAlgorithm": "SHA256"}, null]}"#);
        let certificates = InstalledCertificates::read(told).certificates;
        assert_eq!(certificates.len(), 1);
        assert_eq!(certificates[0].serial_number, "12");
        let deleted = raw(r#"{"certificateHashData": {"hashAlgorithm": "SHA256"}}"#);
        assert!(DeleteCertificate::read(deleted).is_err());
    }

    #[test]
    fn a_nul_in_a_chain_is_made_storable() {
        let sent = raw(r#"{"certificateChain": "a\u0000b"}"#);
        assert_eq!(CertificateSigned::read(sent).unwrap().certificate_chain, "a\u{fffd}b");
    }
}
