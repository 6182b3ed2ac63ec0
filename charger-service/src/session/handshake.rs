//! Decides whether a charge point may connect, before any socket exists.

use std::sync::Arc;

use ocpp::Version;
use sqlx::PgPool;
use thiserror::Error;
use tokio::time::sleep;
use uuid::Uuid;

use super::certificate::{self, WrongCertificate};
use super::credentials;
use super::resumption::TokenHash;
use super::stranger;
use crate::State;
use crate::certificate::voided;
use crate::charge_point::identity::Identity;
use crate::charge_point::names::Names;
use crate::charge_point::rotation::{self, Used};
use crate::charge_point::security_profile;
use crate::security_event::refused::{self, Kind};

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
    /// As it was when it proved itself.
    pub installation: i32,
    /// The how manieth at its place.
    pub device: i32,
    pub identity: Identity,
    pub version: Version,
    pub peer: Option<String>,
    /// The serial number in the certificate that it has shown.
    pub certified_serial_number: Option<String>,
    /// How far its clock is from ours has been found before.
    pub clock_is_known: bool,
}

#[derive(Debug, Error)]
pub enum Refusal {
    #[error("this replica is about to stop")]
    Stopping,
    #[error("there is no charge point of this identity")]
    UnknownChargePoint,
    #[error("the charge point is retired")]
    Retired,
    #[error("the charge point was given another identity or device meanwhile")]
    Outdated,
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
    WrongCertificate(WrongCertificate),
    #[error("no common subprotocol")]
    NoCommonSubprotocol,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// A connection that is refused.
struct TurnedAway {
    refusal: Refusal,
    /// As whom it came, where it did not prove to be that.
    claimed: Option<Uuid>,
}

impl From<Refusal> for TurnedAway {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, claimed: None }
    }
}

impl From<sqlx::Error> for TurnedAway {
    fn from(error: sqlx::Error) -> Self {
        Refusal::from(error).into()
    }
}

/// Lets a charge point in, or not. Whoever hangs up before the answer has tried all the same.
pub async fn admit(state: &Arc<State>, offer: Offer) -> Result<Admitted, Refusal> {
    let TurnedAway { refusal, claimed } = match decide(state, &offer).await {
        Ok(admitted) => return Ok(admitted),
        Err(turned_away) => turned_away,
    };
    let (identity, peer) = (offer.identity.escape_debug(), &offer.peer);
    tracing::info!(%identity, peer, %refusal, "A charge point was not let in");
    if let Some(charge_point) = claimed {
        hold_up(state, charge_point, &refusal, offer.peer).await;
    }
    Err(refusal)
}

async fn decide(state: &State, offer: &Offer) -> Result<Admitted, TurnedAway> {
    if state.shutdown.is_cancelled() {
        return Err(Refusal::Stopping.into());
    }
    let identity = Identity::parse(&offer.identity).map_err(|_| Refusal::UnknownChargePoint)?;
    let known = match find(&state.database, &identity).await? {
        Some(known) => known,
        None if stranger::accept(state, &identity, offer).await? => find(&state.database, &identity)
            .await?
            .ok_or(Refusal::UnknownChargePoint)?,
        None => return Err(Refusal::UnknownChargePoint.into()),
    };
    if known.is_retired {
        return Err(Refusal::Retired.into());
    }
    let proof = authenticate(state, &identity, &known, offer)
        .await
        .map_err(|refusal| TurnedAway {
            refusal,
            claimed: Some(known.id),
        })?;
    state.failures.forget(known.id);
    let version = choose(&offer.subprotocols, known.subprotocol.as_deref()).ok_or(Refusal::NoCommonSubprotocol)?;
    settle(state, &known, &proof).await?;
    Ok(Admitted {
        charge_point: known.id,
        installation: known.installation,
        device: known.device,
        identity,
        version,
        peer: offer.peer.clone(),
        certified_serial_number: proof.certificate.and_then(|shown| shown.serial_number),
        clock_is_known: known.clock_is_known,
    })
}

/// The first that it offers and we speak; or the one that it is to speak, if it offers that.
fn choose(offered: &str, pinned: Option<&str>) -> Option<Version> {
    match pinned {
        None => Version::choose(offered),
        Some(pinned) => Version::choose(offered.split(',').map(str::trim).find(|name| *name == pinned)?),
    }
}

/// Lets a session go on, whose charge point has proven itself when it began.
pub async fn readmit(state: &State, identity: &str, token: &TokenHash) -> Result<Admitted, Refusal> {
    if state.shutdown.is_cancelled() {
        return Err(Refusal::Stopping);
    }
    let identity = Identity::parse(identity).map_err(|_| Refusal::UnknownChargePoint)?;
    let session = sqlx::query!(
        r#"SELECT id, installation, device, protocol AS "protocol!", peer, certified_serial_number
         FROM ocpp.charge_point
         CROSS JOIN LATERAL (
             SELECT protocol, peer, certified_serial_number FROM ocpp.session
             WHERE charge_point_id = charge_point.id AND resumption_hash = $2
             UNION ALL
             SELECT protocol, peer, certified_serial_number FROM ocpp.candidate
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
        installation: session.installation,
        device: session.device,
        identity,
        version: Version::choose(&session.protocol).ok_or(Refusal::NoCommonSubprotocol)?,
        peer: session.peer,
        certified_serial_number: session.certified_serial_number,
        clock_is_known: true,
    })
}

struct Known {
    id: Uuid,
    installation: i32,
    device: i32,
    is_retired: bool,
    security_profile: i16,
    /// The one that it has agreed to move up to.
    next_security_profile: Option<i16>,
    /// The one that it was told to move up to, and has not answered.
    offered_security_profile: Option<i16>,
    password_hash: Option<Vec<u8>>,
    /// Passwords that it may have by now, and the commands that brought them.
    offered_commands: Vec<Uuid>,
    offered_hashes: Vec<Vec<u8>>,
    certificate_name: Option<String>,
    serial_number: Option<String>,
    former_identities: Vec<String>,
    /// SHA-256 of the certificate that it came in with last.
    shown_certificate: Option<Vec<u8>>,
    subprotocol: Option<String>,
    clock_is_known: bool,
}

async fn find(database: &PgPool, identity: &Identity) -> Result<Option<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        r#"SELECT id, installation, device, retired_at IS NOT NULL AS "is_retired!", security_profile, next_security_profile,
               password_hash, certificate_name, serial_number, former_identities, shown_certificate,
               offered_security_profile, subprotocol,
               clock_offset_seconds IS NOT NULL AS "clock_is_known!",
               ARRAY(SELECT command_id FROM ocpp.offered_password WHERE charge_point_id = charge_point.id
                     ORDER BY command_id) AS "offered_commands!",
               ARRAY(SELECT hash FROM ocpp.offered_password WHERE charge_point_id = charge_point.id
                     ORDER BY command_id) AS "offered_hashes!"
           FROM ocpp.charge_point LEFT JOIN ocpp.session ON session.charge_point_id = charge_point.id
           WHERE identity = $1"#,
        identity.as_str(),
    )
    .fetch_optional(database)
    .await
}

/// What a charge point has proven itself with.
struct Proof {
    /// The security profile that the connection fulfils.
    profile: i16,
    /// None where it needs no password.
    password: Option<Used>,
    certificate: Option<Shown>,
}

/// By the profile that the operator has set, or by the higher one that the charge point has agreed to, or may have; never by
/// what the connection happens to offer (A00.FR.002).
async fn authenticate(state: &State, identity: &Identity, known: &Known, offer: &Offer) -> Result<Proof, Refusal> {
    let higher = [known.next_security_profile, known.offered_security_profile];
    for profile in higher.into_iter().flatten() {
        match prove(state, identity, known, offer, profile).await {
            Ok(proof) => return Ok(proof),
            Err(Refusal::Database(error)) => return Err(error.into()),
            // It may come with the present one still.
            Err(_) => {}
        }
    }
    prove(state, identity, known, offer, known.security_profile).await
}

async fn prove(
    state: &State,
    identity: &Identity,
    known: &Known,
    offer: &Offer,
    profile: i16,
) -> Result<Proof, Refusal> {
    let (password, certificate) = match profile {
        0 if state.allow_unsecured => (None, None),
        0 => return Err(Refusal::UnsecuredNotAllowed),
        // TLS is more than it asks for, and takes nothing away.
        1 => (Some(check_password(state, identity, known, offer)?), None),
        _ if !offer.tls => return Err(Refusal::NeedsTls),
        2 => (Some(check_password(state, identity, known, offer)?), None),
        // The column's constraint leaves no other than 3.
        _ => (None, Some(check_certificate(state, identity, known, offer).await?)),
    };
    Ok(Proof {
        profile,
        password,
        certificate,
    })
}

fn check_password(state: &State, identity: &Identity, known: &Known, offer: &Offer) -> Result<Used, Refusal> {
    let header = offer.authorization.as_deref();
    let credentials = header.and_then(credentials::basic).ok_or(Refusal::NoCredentials)?;
    if credentials.user != identity.as_str().as_bytes() {
        return Err(Refusal::WrongCredentials);
    }
    let is = |hash: &[u8]| state.passwords.verify(known.id, &credentials.password, hash);
    if known.password_hash.as_deref().is_some_and(is) {
        return Ok(Used::Present);
    }
    let mut offered = known.offered_commands.iter().zip(&known.offered_hashes);
    match offered.find(|(_, hash)| is(hash)) {
        Some((command, _)) => Ok(Used::Offered(*command)),
        None => Err(Refusal::WrongCredentials),
    }
}

/// Keeps what the connection has shown: which password is in use, which certificate, and that the higher profile is reached.
async fn settle(state: &State, known: &Known, proof: &Proof) -> Result<(), Refusal> {
    match proof.password {
        Some(used) if !known.offered_commands.is_empty() => rotation::settle(&state.database, known.id, used).await?,
        Some(_) | None => {}
    }
    match &proof.certificate {
        Some(shown) if known.shown_certificate.as_deref() != Some(&shown.digest) => {
            voided::shown(&state.database, known.id, known.installation, &shown.digest).await?;
        }
        Some(_) | None => {}
    }
    if proof.profile > known.security_profile {
        security_profile::reached(&state.database, known.id, proof.profile).await?;
    }
    Ok(())
}

/// Keeps a refusal that deserves it, and lets the answer to a guess wait. A task of its own keeps it, since this one ends when
/// the charge point hangs up.
async fn hold_up(state: &Arc<State>, charge_point: Uuid, refusal: &Refusal, peer: Option<String>) {
    let (kind, wait) = match refusal {
        Refusal::NoCredentials => (Kind::Password, None),
        Refusal::WrongCredentials => (Kind::Password, Some(state.failures.count(charge_point))),
        Refusal::NeedsTls | Refusal::NoCertificate => (Kind::Downgrade, None),
        Refusal::WrongCertificate(_) => (Kind::Certificate, Some(state.failures.count(charge_point))),
        Refusal::Stopping
        | Refusal::UnknownChargePoint
        | Refusal::Retired
        | Refusal::Outdated
        | Refusal::UnsecuredNotAllowed
        | Refusal::Superseded
        | Refusal::NoCommonSubprotocol
        | Refusal::Database(_) => return,
    };
    let kept = keep(Arc::clone(state), charge_point, kind, refusal.to_string(), peer);
    match state.failures.turn(charge_point) {
        Some(turn) => {
            let keeping = state.tasks.spawn(async move {
                kept.await;
                turn
            });
            if let (Ok(_turn), Some(wait)) = (keeping.await, wait) {
                sleep(wait).await;
            }
        }
        // So many are being refused that this one is not kept, and waits all the same: at once it would be a guess for nothing.
        None => sleep(wait.unwrap_or_default()).await,
    }
}

async fn keep(state: Arc<State>, charge_point: Uuid, kind: Kind, what: String, peer: Option<String>) {
    let noted = refused::note(
        &state.database,
        charge_point,
        kind,
        &what,
        peer.as_deref(),
        state.clock.now(),
    );
    if let Err(error) = noted.await {
        // It is refused all the same.
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "A refused attempt to connect could not be kept"
        );
    }
}

/// A certificate that was let in.
struct Shown {
    /// SHA-256.
    digest: [u8; 32],
    /// Where it names one.
    serial_number: Option<String>,
}

async fn check_certificate(state: &State, identity: &Identity, known: &Known, offer: &Offer) -> Result<Shown, Refusal> {
    let der = offer.certificate.as_deref().ok_or(Refusal::NoCertificate)?;
    let names = Names {
        identity: identity.as_str().to_owned(),
        certificate_name: known.certificate_name.clone(),
        serial_number: known.serial_number.clone(),
        former_identities: known.former_identities.clone(),
    };
    let common_name = certificate::check(&state.database, &state.issuance, known.id, &names, der).await?;
    Ok(Shown {
        digest: voided::digest(der),
        serial_number: Some(common_name).filter(|name| names.is_serial_number(name)),
    })
}

impl From<WrongCertificate> for Refusal {
    fn from(error: WrongCertificate) -> Self {
        match error {
            WrongCertificate::Database(error) => Self::Database(error),
            WrongCertificate::Unreadable
            | WrongCertificate::CommonName
            | WrongCertificate::Organization
            | WrongCertificate::NotIssued
            | WrongCertificate::Void
            | WrongCertificate::SharedName => Self::WrongCertificate(error),
        }
    }
}
