//! Decides whether a charge point may connect, before any socket exists.

use ocpp::Version;
use sqlx::PgPool;
use thiserror::Error;
use uuid::Uuid;

use super::certificate::{self, WrongCertificate};
use super::credentials;
use super::resumption::TokenHash;
use crate::State;
use crate::boot::Registration;
use crate::charge_point::identity::Identity;

/// What a charge point brings along.
pub struct Offer {
    pub identity: String,
    /// Comma-separated, what it prefers first.
    pub subprotocols: String,
    /// Its Authorization header.
    pub authorization: Option<String>,
    /// Its address.
    pub peer: Option<String>,
    /// Whether it came by TLS.
    pub tls: bool,
    /// The certificate that it showed, in DER; verified by the gateway.
    pub certificate: Option<Vec<u8>>,
}

/// A charge point that is who it says it is.
#[derive(Debug)]
pub struct Admitted {
    pub charge_point: Uuid,
    pub identity: Identity,
    pub version: Version,
    /// The last answer to a BootNotification.
    pub registration: Option<Registration>,
    pub peer: Option<String>,
}

#[derive(Debug, Error)]
pub enum Refusal {
    #[error("this replica is about to stop")]
    Stopping,
    #[error("there is no charge point of this identity")]
    UnknownChargePoint,
    #[error("Basic authentication is required")]
    NoCredentials,
    #[error("the user name is not the identity, or the password is wrong")]
    WrongCredentials,
    #[error("connections without credentials are not allowed here")]
    UnsecuredNotAllowed,
    #[error("the security profile of this charge point needs TLS")]
    NeedsTls,
    #[error("a newer connection has taken over")]
    Superseded,
    #[error("the security profile of this charge point needs a certificate")]
    NoCertificate,
    #[error("{0}")]
    WrongCertificate(#[from] WrongCertificate),
    #[error("no common subprotocol")]
    NoCommonSubprotocol,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

pub async fn admit(state: &State, offer: Offer) -> Result<Admitted, Refusal> {
    let identity = offer.identity.clone();
    let peer = offer.peer.clone();
    let admitted = decide(state, offer).await;
    if let Err(refusal) = &admitted {
        tracing::info!(identity = %identity.escape_debug(), peer, %refusal, "A charge point was not let in");
    }
    admitted
}

async fn decide(state: &State, offer: Offer) -> Result<Admitted, Refusal> {
    if state.shutdown.is_cancelled() {
        return Err(Refusal::Stopping);
    }
    let identity = Identity::parse(&offer.identity).map_err(|_| Refusal::UnknownChargePoint)?;
    let known = find(&state.database, &identity)
        .await?
        .ok_or(Refusal::UnknownChargePoint)?;
    authenticate(state, &identity, &known, &offer)?;
    let version = Version::choose(&offer.subprotocols).ok_or(Refusal::NoCommonSubprotocol)?;
    Ok(Admitted {
        charge_point: known.id,
        identity,
        version,
        registration: known.boot_answer.as_deref().and_then(Registration::parse),
        peer: offer.peer,
    })
}

/// Lets a session go on, whose charge point has proven itself when it began.
pub async fn readmit(state: &State, identity: &str, token: &TokenHash) -> Result<Admitted, Refusal> {
    if state.shutdown.is_cancelled() {
        return Err(Refusal::Stopping);
    }
    let identity = Identity::parse(identity).map_err(|_| Refusal::UnknownChargePoint)?;
    let session = sqlx::query!(
        r#"SELECT id, boot_answer, protocol AS "protocol!", peer
         FROM ocpp.charge_point
         CROSS JOIN LATERAL (
             SELECT protocol, peer FROM ocpp.session
             WHERE charge_point_id = charge_point.id AND resumption_hash = $2
             UNION ALL
             SELECT protocol, peer FROM ocpp.candidate
             WHERE charge_point_id = charge_point.id AND resumption_hash = $2) AS connection
         WHERE identity = $1"#,
        identity.as_str(),
        token.as_bytes(),
    )
    .fetch_optional(&state.database)
    .await?
    .ok_or(Refusal::Superseded)?;
    Ok(Admitted {
        charge_point: session.id,
        identity,
        version: Version::choose(&session.protocol).ok_or(Refusal::NoCommonSubprotocol)?,
        registration: session.boot_answer.as_deref().and_then(Registration::parse),
        peer: session.peer,
    })
}

struct Known {
    id: Uuid,
    security_profile: i16,
    password_hash: Option<Vec<u8>>,
    certificate_name: Option<String>,
    serial_number: Option<String>,
    boot_answer: Option<String>,
}

async fn find(database: &PgPool, identity: &Identity) -> Result<Option<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        "SELECT id, security_profile, password_hash, certificate_name, serial_number, boot_answer
         FROM ocpp.charge_point WHERE identity = $1",
        identity.as_str(),
    )
    .fetch_optional(database)
    .await
}

/// By the profile that the operator has set, never by what the connection happens to offer.
fn authenticate(state: &State, identity: &Identity, known: &Known, offer: &Offer) -> Result<(), Refusal> {
    match known.security_profile {
        0 if state.allow_unsecured => Ok(()),
        0 => Err(Refusal::UnsecuredNotAllowed),
        // TLS is more than it asks for, and takes nothing away.
        1 => check_password(state, identity, known, offer),
        _ if !offer.tls => Err(Refusal::NeedsTls),
        2 => check_password(state, identity, known, offer),
        // The column's constraint leaves no other than 3.
        _ => check_certificate(state, identity, known, offer),
    }
}

fn check_password(state: &State, identity: &Identity, known: &Known, offer: &Offer) -> Result<(), Refusal> {
    let header = offer.authorization.as_deref();
    let credentials = header.and_then(credentials::basic).ok_or(Refusal::NoCredentials)?;
    let hash = known.password_hash.as_deref().ok_or(Refusal::WrongCredentials)?;
    let password = state.passwords.verify(known.id, &credentials.password, hash);
    if password && credentials.user == identity.as_str().as_bytes() {
        Ok(())
    } else {
        Err(Refusal::WrongCredentials)
    }
}

/// Its name is the one that was registered; where none was, the serial number that the station told or its identity.
fn check_certificate(state: &State, identity: &Identity, known: &Known, offer: &Offer) -> Result<(), Refusal> {
    let der = offer.certificate.as_deref().ok_or(Refusal::NoCertificate)?;
    let names = match &known.certificate_name {
        Some(name) => vec![name.as_str()],
        None => [Some(identity.as_str()), known.serial_number.as_deref()]
            .into_iter()
            .flatten()
            .collect(),
    };
    Ok(certificate::check(
        der,
        &names,
        state.certificate_organization.as_deref(),
    )?)
}
