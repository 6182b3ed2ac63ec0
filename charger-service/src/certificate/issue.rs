//! A charge point asks for a certificate (A02, A03): the request is looked at, signed, and the certificate sent on its way, all
//! in the transaction of the answer (rule 12 of the OCPP decisions).

use chrono::{DateTime, TimeDelta, Utc};
use ocpp::{Message, Version, validate};
use serde_json::json;
use serde_json::value::RawValue;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use uuid::Uuid;

use super::authority::Authority;
use super::details::Details;
use super::request::{SigningRequest, Unfit};
use crate::charge_point::names::{self, Names};
use crate::command::ledger;
use crate::security_event::{self, Origin, SecurityEvent};

/// Requests of one charge point within a day; one that keeps asking fills no disk.
const MOST_A_DAY: i64 = 50;

/// Certificates of one charge point that are kept; beyond them the oldest go, but for the newest that it has taken: it comes in
/// with that one.
const MOST_KEPT: i64 = 100;

/// What takes a certificate to its charge point.
const ACTION: &str = "CertificateSigned";

/// How long a certificate waits for its charge point.
const WAITS: TimeDelta = TimeDelta::days(1);

/// From then on the log says that a certificate ends.
pub const AHEAD: TimeDelta = TimeDelta::days(30);

/// How certificates are issued here.
#[derive(Debug)]
pub struct Issuance {
    pub authority: Authority,
    /// Whether others may issue certificates under it too, since it was given by files.
    pub is_shared: bool,
    /// Organization that certificates must name.
    pub organization: Option<String>,
    /// Whether what is right is signed and sent at once; else it waits for somebody to do so.
    pub automatic: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum Refused {
    #[error("{0}")]
    Unfit(#[from] Unfit),
    #[error("it is one of too many")]
    TooMany,
    #[error("it cannot be signed")]
    NotSigned,
    /// The authority has more certificates above it than go into a message.
    #[error("its certificate is longer than OCPP lets it be")]
    TooLong,
}

/// A request that is right.
struct Fit {
    chain: Option<String>,
}

/// Whether the charge point's request is accepted.
pub async fn asked(
    connection: &mut PgConnection,
    issuance: &Issuance,
    charge_point: Uuid,
    csr: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let names = names::of(connection, charge_point).await?;
    let fit = match decide(connection, issuance, charge_point, csr, &names, now).await? {
        Ok(fit) => fit,
        Err(refused) => {
            refuse(connection, charge_point, refused, now).await?;
            return Ok(false);
        }
    };
    let command = match &fit.chain {
        Some(chain) => Some(send(connection, charge_point, chain, now).await?),
        None => None,
    };
    keep(connection, charge_point, Some(csr), fit.chain.as_deref(), command, now).await?;
    Ok(true)
}

async fn decide(
    connection: &mut PgConnection,
    issuance: &Issuance,
    charge_point: Uuid,
    csr: &str,
    names: &Names,
    now: DateTime<Utc>,
) -> Result<Result<Fit, Refused>, sqlx::Error> {
    let of_late = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (
             SELECT created_at FROM ocpp.issued_certificate WHERE charge_point_id = $1 ORDER BY id DESC LIMIT $2) AS newest
           WHERE created_at > $3"#,
        charge_point,
        MOST_A_DAY,
        now - TimeDelta::days(1),
    )
    .fetch_one(&mut *connection)
    .await?;
    if of_late >= MOST_A_DAY {
        return Ok(Err(Refused::TooMany));
    }
    let request = match SigningRequest::parse(csr) {
        Ok(request) => request,
        Err(unfit) => return Ok(Err(unfit.into())),
    };
    if !asks_for_itself(connection, charge_point, names, &request).await? {
        return Ok(Err(Unfit::CommonName.into()));
    }
    Ok(sign(issuance, &request, names.fixed(), now))
}

/// A request may name what the charge point says of itself, as long as nobody else goes by it. The certificate is made out to
/// what the operator has fixed all the same.
async fn asks_for_itself(
    connection: &mut PgConnection,
    charge_point: Uuid,
    names: &Names,
    request: &SigningRequest,
) -> Result<bool, sqlx::Error> {
    match request.common_name() {
        Err(_) => Ok(false),
        Ok(None) => Ok(true),
        Ok(Some(name)) if name == names.fixed() => Ok(true),
        Ok(Some(name)) if names.has_as_well(name) => names::is_nobody_elses(connection, charge_point, name).await,
        Ok(Some(_)) => Ok(false),
    }
}

fn sign(issuance: &Issuance, request: &SigningRequest, name: &str, now: DateTime<Utc>) -> Result<Fit, Refused> {
    let subject = request.subject(name, issuance.organization.as_deref())?;
    if !issuance.automatic {
        return Ok(Fit { chain: None });
    }
    match issuance.authority.issue(&subject, &request.key, now) {
        Ok(chain) if may_be_sent(&chain) => Ok(Fit { chain: Some(chain) }),
        Ok(_) => Err(Refused::TooLong),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "A certificate could not be signed"
            );
            Err(Refused::NotSigned)
        }
    }
}

/// The charge point is told no more than that, so whoever runs it has to find out here (A02, error handling).
async fn refuse(
    connection: &mut PgConnection,
    charge_point: Uuid,
    refused: Refused,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    tracing::info!(%charge_point, %refused, "A certificate signing request is rejected");
    let tech_info = refused.to_string();
    let event = SecurityEvent {
        charge_point,
        origin: Origin::Csms,
        kind: "CertificateSigningRequestRejected",
        tech_info: Some(&tech_info),
        occurred_at: now,
        received_at: now,
    };
    security_event::store(connection, &event).await
}

fn message(chain: &str) -> String {
    json!({ "certificateChain": chain }).to_string()
}

/// What we send is held against the specification, as what operators send is.
fn may_be_sent(chain: &str) -> bool {
    let message = RawValue::from_string(message(chain));
    message.is_ok_and(|message| validate(Version::V1_6, Message::Request(ACTION), &message).is_empty())
}

/// Queues the CertificateSigned. It leaves after the answer.
async fn send(
    connection: &mut PgConnection,
    charge_point: Uuid,
    chain: &str,
    now: DateTime<Utc>,
) -> Result<Uuid, sqlx::Error> {
    ledger::enqueue_automatic(connection, charge_point, ACTION, &message(chain), now, now + WAITS).await
}

/// Keeps a request, or a certificate, or both.
pub(super) async fn keep(
    connection: &mut PgConnection,
    charge_point: Uuid,
    request: Option<&str>,
    chain: Option<&str>,
    command: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let details = chain.and_then(Details::of_first);
    sqlx::query!(
        "INSERT INTO ocpp.issued_certificate (id, charge_point_id, request, chain, serial_number, common_name, not_before,
             not_after, command_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        Uuid::now_v7(),
        charge_point,
        request,
        chain,
        details.as_ref().map(|details| details.serial_number.as_str()),
        details.as_ref().and_then(|details| details.common_name.as_deref()),
        details.as_ref().map(|details| details.not_before),
        details.as_ref().map(|details| details.not_after),
        command,
        now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM ocpp.issued_certificate WHERE charge_point_id = $1 AND id <= (
             SELECT id FROM ocpp.issued_certificate WHERE charge_point_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)
           AND void_since IS NULL
           AND id IS DISTINCT FROM (
             SELECT taken.id FROM ocpp.issued_certificate AS taken JOIN ocpp.command ON command.id = taken.command_id
             WHERE taken.charge_point_id = $1 AND command.status = 'accepted' ORDER BY taken.id DESC LIMIT 1)",
        charge_point,
        MOST_KEPT,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells how many charge points have a certificate that ends soon: as a metric, and in the log.
pub async fn watch_expiry(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let ending = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (
             SELECT DISTINCT ON (issued.charge_point_id) issued.not_after
             FROM ocpp.issued_certificate AS issued JOIN ocpp.command ON command.id = issued.command_id
             JOIN ocpp.charge_point ON charge_point.id = issued.charge_point_id
             WHERE command.status = 'accepted' AND issued.void_since IS NULL AND charge_point.retired_at IS NULL
             ORDER BY issued.charge_point_id, issued.id DESC) AS newest
           WHERE not_after < $1"#,
        now + AHEAD,
    )
    .fetch_one(database)
    .await?;
    #[allow(clippy::cast_precision_loss, reason = "there are not that many charge points")]
    metrics::gauge!("charger_certificates_ending").set(ending as f64);
    if ending > 0 {
        tracing::warn!(ending, "Charge points have certificates that end within thirty days");
    }
    Ok(())
}
