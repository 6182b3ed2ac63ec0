//! The authority that issues charge points' certificates (A00.FR.601): one that is set by files, or one of our own, made at the
//! first start, whose key lies sealed in the database.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SerialNumber, SubjectPublicKeyInfo,
};
use service_kit::sealing::{DoesNotOpen, SealingKey};
use sqlx::PgPool;
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::details::Details;

/// Charge points live long, and changing the root of one is work.
const OWN_YEARS: i64 = 20;

/// Whom certificates name where nobody else is named (A00.FR.509).
pub const ORGANIZATION: &str = "Voltgate";

/// How far clocks may be apart without a certificate that is new being refused.
const SKEW: TimeDelta = TimeDelta::days(1);

/// As long as X.509 lets a serial number be, without its sign.
const SERIAL_BYTES: usize = 16;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate and those above it, in PEM.
    chain: String,
    /// What goes to charge points behind their own certificate: all of the chain but its root, which they have.
    intermediates: String,
    /// Its name, as certificates have it for their issuer.
    subject: Vec<u8>,
    validity: TimeDelta,
}

/// Who a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub common_name: String,
    pub organization: String,
}

#[derive(Debug, Error)]
pub enum AuthorityError {
    #[error("the certificate authority's key does not open; CHARGER_SECRET is another one than when it was made")]
    Sealed(#[from] DoesNotOpen),
    #[error("the certificate authority cannot be used")]
    Unusable(#[from] rcgen::Error),
    #[error("the certificate authority's certificate cannot be read")]
    Unreadable,
    #[error("the certificate is not one of an authority")]
    NoAuthority,
    #[error("key and certificate do not belong together")]
    OtherKey,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Authority {
    /// One that is set: its certificate with those above it, and its key, both in PEM.
    pub fn of_files(chain: &str, key: &str, validity: TimeDelta) -> Result<Self, AuthorityError> {
        Self::new(chain, KeyPair::from_pem(key)?, validity)
    }

    /// Our own, made where there is none yet. Replicas that start side by side get the same one.
    pub async fn own(
        database: &PgPool,
        sealing: &SealingKey,
        validity: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<Self, AuthorityError> {
        let stored = match stored(database).await? {
            Some(stored) => stored,
            None => {
                make(database, sealing, now).await?;
                stored(database).await?.ok_or(sqlx::Error::RowNotFound)?
            }
        };
        let key = sealing.open(&stored.sealed_key, &stored.id.to_string())?;
        let key = KeyPair::try_from(key.as_slice())?;
        Self::new(&stored.certificate, key, validity)
    }

    fn new(chain: &str, key: KeyPair, validity: TimeDelta) -> Result<Self, AuthorityError> {
        let certificates: Vec<Pem> = Pem::iter_from_buffer(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| AuthorityError::Unreadable)?;
        let own = certificates.first().ok_or(AuthorityError::Unreadable)?;
        let x509 = own.parse_x509().map_err(|_| AuthorityError::Unreadable)?;
        if !x509.is_ca() {
            return Err(AuthorityError::NoAuthority);
        }
        if x509.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityError::OtherKey);
        }
        let mut intermediates = String::new();
        for certificate in &certificates {
            let x509 = certificate.parse_x509().map_err(|_| AuthorityError::Unreadable)?;
            if x509.subject() != x509.issuer() {
                intermediates.push_str(&pem(&certificate.contents));
            }
        }
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(&pem(&own.contents), key)?,
            chain: certificates
                .iter()
                .map(|certificate| pem(&certificate.contents))
                .collect(),
            intermediates,
            subject: x509.subject().as_raw().to_vec(),
            validity,
        })
    }

    /// What whoever verifies the certificates has to trust, in PEM.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// Whether a certificate, given in DER, says that it comes from here. Whoever has verified it knows that it is true.
    pub fn is_issuer_of(&self, der: &[u8]) -> bool {
        X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.issuer().as_raw() == self.subject)
    }

    /// Issues a certificate that a charge point can log in with and nothing else; with the authorities between it and the root.
    pub fn issue(
        &self,
        subject: &Subject,
        key: &SubjectPublicKeyInfo,
        now: DateTime<Utc>,
    ) -> Result<String, rcgen::Error> {
        let mut params = params(&subject.common_name, &subject.organization);
        params.not_before = instant(now - SKEW);
        params.not_after = instant(now + self.validity);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(pem(certificate.der()) + &self.intermediates)
    }
}

struct Stored {
    id: Uuid,
    certificate: String,
    sealed_key: Vec<u8>,
}

async fn stored(database: &PgPool) -> Result<Option<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        "SELECT id, certificate, sealed_key FROM ocpp.certificate_authority"
    )
    .fetch_optional(database)
    .await
}

async fn make(database: &PgPool, sealing: &SealingKey, now: DateTime<Utc>) -> Result<(), AuthorityError> {
    let id = Uuid::now_v7();
    let key = KeyPair::generate()?;
    let mut params = params("Charge points", ORGANIZATION);
    params.not_before = instant(now - SKEW);
    params.not_after = instant(now + TimeDelta::days(365 * OWN_YEARS));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    let sealed = sealing.seal(&key.serialize_der(), &id.to_string())?;
    sqlx::query!(
        "INSERT INTO ocpp.certificate_authority (id, certificate, sealed_key, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (singleton) DO NOTHING",
        id,
        certificate.pem(),
        sealed,
        now,
    )
    .execute(database)
    .await?;
    Ok(())
}

fn params(common_name: &str, organization: &str) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name.push(DnType::OrganizationName, organization);
    let mut serial: [u8; SERIAL_BYTES] = rand::random();
    // Positive, and of full length.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

/// To the second, as certificates have it.
fn instant(at: DateTime<Utc>) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.timestamp()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// PEM as charge points take it: with line feeds only (RFC 7468).
fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: String = text
        .as_bytes()
        .chunks(64)
        .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
        .collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Details::of_first(&self.chain).map(|details| details.common_name);
        f.debug_struct("Authority").field("name", &name).finish_non_exhaustive()
    }
}
