//! SignCertificate (security whitepaper, 5.17): a station asks for a certificate.

use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignCertificate {
    /// A certificate signing request in PEM.
    pub csr: String,
}

impl SignCertificate {
    pub fn read(payload: &RawValue) -> Result<SignCertificate, Unreadable> {
        Ok(SignCertificate {
            csr: Fields::of(payload).required_text("csr")?,
        })
    }
}
