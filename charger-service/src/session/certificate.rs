//! Whether a certificate is the one of a charge point (security profile 3, A00.FR.404 and A00.FR.405). That it is from a
//! known authority and within its time has been verified in the handshake.

use service_kit::tls::Certificate;
use thiserror::Error;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum WrongCertificate {
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("the certificate names another charge point as its common name")]
    CommonName,
    #[error("the certificate names another organization")]
    Organization,
}

/// The common name must be one of `names`, to the letter, and the organization the one given.
pub fn check(der: &[u8], names: &[&str], organization: Option<&str>) -> Result<(), WrongCertificate> {
    let certificate = Certificate::parse(der).map_err(|_| WrongCertificate::Unreadable)?;
    // With two common names it would be two charge points.
    let [common_name] = certificate.common_names.as_slice() else {
        return Err(WrongCertificate::CommonName);
    };
    if !names.contains(&common_name.as_str()) {
        return Err(WrongCertificate::CommonName);
    }
    match organization {
        Some(organization) if !certificate.organizations.iter().any(|own| own == organization) => {
            Err(WrongCertificate::Organization)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use testbed::certificates::{Authority, Subject};

    use super::*;

    #[test]
    fn common_name_and_organization_must_be_those_expected() {
        let subject = Subject::named("SN-1").organization("Volt AG");
        let der = Authority::new("test").issue(&subject).der();
        assert_eq!(check(&der, &["CP1", "SN-1"], None), Ok(()));
        assert_eq!(check(&der, &["SN-1"], Some("Volt AG")), Ok(()));
        assert_eq!(
            check(&der, &["SN-1"], Some("Volt")),
            Err(WrongCertificate::Organization)
        );
        for names in [&["CP1"][..], &["sn-1"], &["SN-11"], &[]] {
            assert_eq!(check(&der, names, None), Err(WrongCertificate::CommonName));
        }
    }

    #[test]
    fn a_name_elsewhere_in_the_certificate_does_not_count() {
        let subject = Subject::named("SN-1").organization("CP1").dns("CP1");
        let der = Authority::new("test").issue(&subject).der();
        assert_eq!(check(&der, &["CP1"], None), Err(WrongCertificate::CommonName));
        assert_eq!(
            check(b"no certificate", &["CP1"], None),
            Err(WrongCertificate::Unreadable)
        );
    }
}
