//! Whether a certificate is the one of a charge point (security profile 3, A00.FR.404 and A00.FR.405). That it is from a
//! known authority and within its time has been verified in the handshake.

use service_kit::tls::Certificate;
use sqlx::PgPool;
use thiserror::Error;
use uuid::Uuid;

use crate::certificate::issue::Issuance;
use crate::certificate::issued::issued_to;
use crate::certificate::voided;
use crate::charge_point::names::{self, Names};

#[derive(Debug, Error)]
pub enum WrongCertificate {
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("the certificate names another charge point as its common name")]
    CommonName,
    #[error("the certificate names another organization")]
    Organization,
    #[error("the certificate was not issued to this charge point")]
    NotIssued,
    #[error("the certificate is that of a device that has been replaced")]
    Void,
    #[error("the certificate has a name that another charge point goes by too")]
    SharedName,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// Looks at a certificate that a charge point shows. Returns its common name.
///
/// One that was issued here opens the door of the charge point that it was issued to, whatever it says; about any other, the
/// names of the charge point decide (rule 15 of the OCPP decisions). An authority that only we have issues none that is not known.
pub async fn check(
    database: &PgPool,
    issuance: &Issuance,
    charge_point: Uuid,
    names: &Names,
    der: &[u8],
) -> Result<String, WrongCertificate> {
    let common_name = common_name(der, issuance.organization.as_deref())?;
    let is_fixed = common_name == names.fixed();
    if !is_fixed && !names.has_as_well(&common_name) {
        return Err(WrongCertificate::CommonName);
    }
    let issued_to = issued_to(database, der).await?;
    let must_be_known = !issuance.is_shared && issuance.authority.is_issuer_of(der);
    // Certificates that an earlier authority of ours has issued are known as well.
    let is_its_own = issued_to
        .iter()
        .any(|issued| issued.charge_point == charge_point && !issued.is_void);
    if !is_its_own && (must_be_known || !issued_to.is_empty()) {
        return Err(WrongCertificate::NotIssued);
    }
    if voided::is_void(database, charge_point, der).await? {
        return Err(WrongCertificate::Void);
    }
    if !is_fixed && issued_to.is_empty() {
        let mut connection = database.acquire().await?;
        if !names::is_nobody_elses(&mut connection, charge_point, &common_name).await? {
            return Err(WrongCertificate::SharedName);
        }
    }
    Ok(common_name)
}

/// The only common name of a certificate. The organization must be the one given.
fn common_name(der: &[u8], organization: Option<&str>) -> Result<String, WrongCertificate> {
    let mut certificate = Certificate::parse(der).map_err(|_| WrongCertificate::Unreadable)?;
    // With two common names it would be two charge points.
    let (Some(common_name), true) = (certificate.common_names.pop(), certificate.common_names.is_empty()) else {
        return Err(WrongCertificate::CommonName);
    };
    match organization {
        Some(organization) if !certificate.organizations.iter().any(|own| own == organization) => {
            Err(WrongCertificate::Organization)
        }
        _ => Ok(common_name),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use testbed::certificates::{Authority, Subject};

    use super::*;

    /// Rule 15.
    #[test]
    fn the_common_name_is_that_of_the_subject_and_the_organization_must_be_the_one_expected() {
        let subject = Subject::named("SN-1").organization("Volt AG").dns("CP1");
        let der = Authority::new("test").issue(&subject).der();
        assert_eq!(common_name(&der, None).unwrap(), "SN-1");
        assert_eq!(common_name(&der, Some("Volt AG")).unwrap(), "SN-1");
        assert!(matches!(
            common_name(&der, Some("Volt")),
            Err(WrongCertificate::Organization)
        ));
        assert!(matches!(
            common_name(b"no certificate", None),
            Err(WrongCertificate::Unreadable)
        ));
    }
}
