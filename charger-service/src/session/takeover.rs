//! How a connection becomes the present one of its charge point.
//!
//! Where no other is open it is so at once. Otherwise it is a candidate: it takes over at its first frame, or after some
//! seconds of silence, and the older one goes on where it closes before (rule 1 of the OCPP decisions). Its epoch is given
//! when it comes, so that of two candidates the later one wins, whichever speaks first.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ocpp::Version;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use tokio::time::Instant;
use uuid::Uuid;

use super::fence::{self, Via};
use super::resumption::TokenHash;
use crate::command::ledger::ending;
use crate::event::{self, Kind};
use crate::registry::{Handle, Registry};

/// How long a new connection may say nothing and the older one goes on.
pub const SILENCE: Duration = Duration::from_secs(5);

/// No gateway resumes a connection after this long.
const FORGOTTEN: TimeDelta = TimeDelta::hours(2);

#[derive(Debug)]
pub struct NewSession<'a> {
    pub charge_point: Uuid,
    /// Of the charge point when it was let in.
    pub installation: i32,
    /// The process that owns it.
    pub instance: Uuid,
    pub version: Version,
    /// The charge point's address, as the gateway tells it.
    pub peer: Option<&'a str>,
    /// The serial number in the certificate that it has shown.
    pub certified_serial_number: Option<&'a str>,
    pub resumption: &'a TokenHash,
    pub connected_at: DateTime<Utc>,
}

/// A connection that was let in.
#[derive(Debug)]
pub enum Connected {
    /// It is the present one.
    Present(Handle),
    /// Another one is open.
    Candidate(Via),
    /// It was let in before the charge point got another identity or device, or was taken out of use.
    Outdated,
}

/// A candidate until it takes over.
#[derive(Debug)]
pub struct Candidate {
    pub via: Via,
    /// When it takes over although it has said nothing.
    pub until: Instant,
}

impl Candidate {
    pub fn new(via: Via) -> Self {
        Self {
            via,
            until: Instant::now() + SILENCE,
        }
    }
}

/// Lets a connection in.
pub async fn connect(database: &PgPool, sessions: &Registry, new: &NewSession<'_>) -> Result<Connected, sqlx::Error> {
    let mut transaction = database.begin().await?;
    if !is_still_let_in(&mut transaction, new).await? {
        return Ok(Connected::Outdated);
    }
    let known = sqlx::query!(
        r#"INSERT INTO ocpp.session AS known
             (charge_point_id, epoch, last_epoch, stream, resumption_hash, instance_id, protocol, peer, connected_at,
              certified_serial_number)
         VALUES ($1, 1, 1, 1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (charge_point_id) DO UPDATE SET last_epoch = known.last_epoch + 1
         RETURNING epoch, last_epoch, (disconnected_at IS NULL AND EXISTS (
             SELECT FROM ocpp.instance WHERE id = known.instance_id AND lease_until > now())) AS "open!""#,
        new.charge_point,
        new.resumption.as_bytes(),
        new.instance,
        new.version.subprotocol(),
        new.peer,
        new.connected_at,
        new.certified_serial_number,
    )
    .fetch_one(&mut *transaction)
    .await?;
    let via = Via {
        charge_point: new.charge_point,
        epoch: known.last_epoch,
        stream: 1,
    };
    let is_first = known.epoch == known.last_epoch;
    if is_first {
        let data = json!({"protocol": new.version.subprotocol()});
        event::note(
            &mut transaction,
            Kind::ChargePointOnline,
            new.charge_point,
            new.connected_at,
            data,
        )
        .await?;
        return fence::enter(transaction, sessions, via).await.map(Connected::Present);
    }
    await_turn(&mut transaction, via, new).await?;
    if known.open {
        transaction.commit().await?;
        return Ok(Connected::Candidate(via));
    }
    become_present(&mut transaction, via, new.instance, new.connected_at).await?;
    fence::enter(transaction, sessions, via).await.map(Connected::Present)
}

/// Whoever changes what this goes by waits until the connection is there, and ends it then.
async fn is_still_let_in(connection: &mut PgConnection, new: &NewSession<'_>) -> Result<bool, sqlx::Error> {
    let installation = sqlx::query_scalar!(
        "SELECT installation FROM ocpp.charge_point WHERE id = $1 FOR KEY SHARE",
        new.charge_point,
    )
    .fetch_optional(connection)
    .await?;
    Ok(installation == Some(new.installation))
}

async fn await_turn(connection: &mut PgConnection, via: Via, new: &NewSession<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO ocpp.candidate (charge_point_id, epoch, stream, resumption_hash, protocol, peer, connected_at,
             certified_serial_number)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        via.charge_point,
        via.epoch,
        via.stream,
        new.resumption.as_bytes(),
        new.version.subprotocol(),
        new.peer,
        new.connected_at,
        new.certified_serial_number,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes a candidate the present connection, unless a newer one is, or it goes on on another stream itself: its handle says
/// which.
pub async fn take_over(
    database: &PgPool,
    sessions: &Registry,
    via: Via,
    instance: Uuid,
    now: DateTime<Utc>,
) -> Result<Handle, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let present = sqlx::query_scalar!(
        "SELECT epoch FROM ocpp.session WHERE charge_point_id = $1 FOR UPDATE",
        via.charge_point,
    )
    .fetch_one(&mut *transaction)
    .await?;
    if present > via.epoch {
        return Ok(Handle::superseded(via));
    }
    if become_present(&mut transaction, via, instance, now).await? {
        fence::enter(transaction, sessions, via).await
    } else {
        Ok(Handle::resumed(via))
    }
}

/// What the connection before had sent and not heard back of is over. False where the candidate is not there on this stream.
/// Whoever calls holds the session's row.
async fn become_present(
    connection: &mut PgConnection,
    via: Via,
    instance: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query_scalar!(
        r#"WITH before AS (SELECT disconnected_at FROM ocpp.session WHERE charge_point_id = $1),
         candidate AS (
             DELETE FROM ocpp.candidate WHERE charge_point_id = $1 AND epoch <= $2
             RETURNING epoch, stream, resumption_hash, protocol, peer, connected_at,
                 certified_serial_number),
         taken AS (
             UPDATE ocpp.session
             SET epoch = candidate.epoch, stream = candidate.stream, resumption_hash = candidate.resumption_hash,
                 instance_id = $4, protocol = candidate.protocol, peer = candidate.peer,
                 connected_at = candidate.connected_at, disconnected_at = NULL,
                 certified_serial_number = candidate.certified_serial_number
             FROM candidate
             WHERE charge_point_id = $1 AND candidate.epoch = $2 AND candidate.stream = $3
             RETURNING session.protocol),
         told AS (
             INSERT INTO ocpp.event (at, type, identity, site_id, data)
             SELECT $5, $6, identity, site_id, json_build_object('protocol', taken.protocol)
             FROM taken CROSS JOIN before JOIN ocpp.charge_point ON charge_point.id = $1
             WHERE before.disconnected_at IS NOT NULL)
         SELECT EXISTS (SELECT FROM taken) AS "taken!""#,
        via.charge_point,
        via.epoch,
        via.stream,
        instance,
        now,
        Kind::ChargePointOnline.as_str(),
    )
    .fetch_one(&mut *connection)
    .await?;
    ending::abandon(connection, &[(via.charge_point, via.epoch - 1)], now).await?;
    Ok(taken)
}

/// Goes on with a candidate on a new stream. None where there is no such candidate.
pub async fn resume(
    connection: &mut PgConnection,
    charge_point: Uuid,
    token: &TokenHash,
) -> Result<Option<Via>, sqlx::Error> {
    let candidate = sqlx::query!(
        "UPDATE ocpp.candidate SET stream = stream + 1 WHERE charge_point_id = $1 AND resumption_hash = $2
         RETURNING epoch, stream",
        charge_point,
        token.as_bytes(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(candidate.map(|candidate| Via {
        charge_point,
        epoch: candidate.epoch,
        stream: candidate.stream,
    }))
}

/// A candidate closed before it took over: nothing has happened.
pub async fn withdraw(database: &PgPool, via: Via) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM ocpp.candidate WHERE charge_point_id = $1 AND epoch = $2 AND stream = $3",
        via.charge_point,
        via.epoch,
        via.stream,
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Forgets candidates whose gateway died before they took over.
pub async fn forget(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM ocpp.candidate WHERE connected_at < $1", now - FORGOTTEN)
        .execute(database)
        .await?;
    Ok(())
}
