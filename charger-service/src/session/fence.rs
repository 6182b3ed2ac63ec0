//! Which session of a charge point is the present one, and which stream carries it.
//!
//! Each session has an epoch, one higher than the one before. An older session can neither say that its charge point is
//! there or gone, nor send it anything. Facts about transactions are not fenced: a stop that comes in on the old
//! socket as it dies is true.
//!
//! A session outlives the stream from the gateway that carries it: the gateway resumes it on another one, perhaps at
//! another replica, and sends again what was not acknowledged. From then on nothing more counts that the old stream
//! brought, not even a fact: it comes in again on the new one.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::resumption::{Resumption, TokenHash};
use super::takeover;
use crate::command::ledger::{self, Unanswered, ending};
use crate::event::Kind;
use crate::notice::{Notice, tell};
use crate::registry::{Handle, Registry};

/// A session, present or past, and the stream that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Via {
    pub charge_point: Uuid,
    pub epoch: i64,
    pub stream: i64,
}

impl Via {
    /// Whether the other one of the same charge point came later.
    pub fn precedes(self, other: Self) -> bool {
        (self.epoch, self.stream) < (other.epoch, other.stream)
    }
}

/// A session that goes on.
#[derive(Debug)]
pub struct Resumed {
    pub handle: Handle,
    /// The command whose answer is due.
    pub unanswered: Option<Unanswered>,
}

/// A connection that goes on on a new stream.
#[derive(Debug)]
pub enum GoesOn {
    Present(Resumed),
    /// It has not taken over yet.
    Candidate(Via),
}

/// Goes on with a connection on a new stream. None where the charge point has another session by now.
pub async fn resume(
    database: &PgPool,
    sessions: &Registry,
    charge_point: Uuid,
    instance: Uuid,
    resumption: &Resumption,
    now: DateTime<Utc>,
) -> Result<Option<GoesOn>, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let mut via = present(&mut transaction, charge_point, instance, &resumption.token, now).await?;
    if via.is_none() {
        // It may be about to take over: from here on it is not.
        lock(&mut transaction, charge_point).await?;
        if let Some(candidate) = takeover::resume(&mut transaction, charge_point, &resumption.token).await? {
            transaction.commit().await?;
            return Ok(Some(GoesOn::Candidate(candidate)));
        }
        via = present(&mut transaction, charge_point, instance, &resumption.token, now).await?;
    }
    let Some(via) = via else {
        return Ok(None);
    };
    let unanswered = ledger::restore(&mut transaction, via, resumption.received).await?;
    let handle = enter(transaction, sessions, via).await?;
    Ok(Some(GoesOn::Present(Resumed { handle, unanswered })))
}

/// Waits for the old stream to commit what it is at; what it begins after this does not count.
async fn present(
    connection: &mut PgConnection,
    charge_point: Uuid,
    instance: Uuid,
    token: &TokenHash,
    now: DateTime<Utc>,
) -> Result<Option<Via>, sqlx::Error> {
    let session = sqlx::query!(
        r#"WITH before AS (
             SELECT charge_point_id, disconnected_at FROM ocpp.session
             WHERE charge_point_id = $1 AND resumption_hash = $2 FOR UPDATE),
         resumed AS (
             UPDATE ocpp.session SET stream = stream + 1, instance_id = $3, disconnected_at = NULL
             FROM before WHERE session.charge_point_id = before.charge_point_id
             RETURNING epoch, stream, protocol, before.disconnected_at),
         told AS (
             INSERT INTO ocpp.event (at, type, identity, site_id, data)
             SELECT $4, $5, identity, site_id, json_build_object('protocol', protocol)
             FROM resumed JOIN ocpp.charge_point ON charge_point.id = $1
             WHERE disconnected_at IS NOT NULL)
         SELECT epoch AS "epoch!", stream AS "stream!" FROM resumed"#,
        charge_point,
        token.as_bytes(),
        instance,
        now,
        Kind::ChargePointOnline.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(session.map(|session| Via {
        charge_point,
        epoch: session.epoch,
        stream: session.stream,
    }))
}

/// Waits for whoever is at a charge point's session, and has others wait until the transaction is over.
pub async fn lock(connection: &mut PgConnection, charge_point: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT FROM ocpp.session WHERE charge_point_id = $1 FOR UPDATE",
        charge_point
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Commits, and tells every replica.
pub async fn enter(
    mut transaction: sqlx::Transaction<'_, sqlx::Postgres>,
    sessions: &Registry,
    via: Via,
) -> Result<Handle, sqlx::Error> {
    tell(&mut transaction, &[Notice::Claimed(via)]).await?;
    // Before the commit: a still newer session comes after it, and must find this one to tell it.
    let handle = sessions.enter(via);
    if let Err(error) = transaction.commit().await {
        sessions.leave(via);
        return Err(error);
    }
    Ok(handle)
}

/// Ends a session. Where a newer one is there, only what this one had sent is over; where it goes on on another stream,
/// nothing is.
pub async fn release(database: &PgPool, via: Via, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    let present = sqlx::query!(
        "SELECT epoch, stream FROM ocpp.session WHERE charge_point_id = $1 FOR UPDATE",
        via.charge_point,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if present.is_some_and(|present| present.epoch == via.epoch && present.stream > via.stream) {
        return Ok(());
    }
    sqlx::query!(
        "WITH ended AS (
             UPDATE ocpp.session SET disconnected_at = $3
             WHERE charge_point_id = $1 AND epoch = $2 AND disconnected_at IS NULL
             RETURNING charge_point_id)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $3, $4, identity, site_id, '{}' FROM ended JOIN ocpp.charge_point ON charge_point.id = charge_point_id",
        via.charge_point,
        via.epoch,
        now,
        Kind::ChargePointOffline.as_str(),
    )
    .execute(&mut *transaction)
    .await?;
    ending::abandon(&mut transaction, &[(via.charge_point, via.epoch)], now).await?;
    transaction.commit().await
}

/// What has come after each of `sessions` that is not the present one any more.
pub async fn newer(database: &PgPool, sessions: &[Via]) -> Result<Vec<Via>, sqlx::Error> {
    let columns = Columns::of(sessions);
    let rows = sqlx::query!(
        "SELECT session.charge_point_id, session.epoch, session.stream
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS mine (charge_point_id, epoch, stream)
         JOIN ocpp.session ON session.charge_point_id = mine.charge_point_id
             AND (session.epoch, session.stream) > (mine.epoch, mine.stream)",
        &columns.charge_points,
        &columns.epochs,
        &columns.streams,
    )
    .fetch_all(database)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Via {
            charge_point: row.charge_point_id,
            epoch: row.epoch,
            stream: row.stream,
        })
        .collect())
}

/// Says again that sessions are open, after their process was taken for dead while it lived.
pub async fn reopen(database: &PgPool, sessions: &[Via], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let columns = Columns::of(sessions);
    sqlx::query!(
        "WITH opened AS (
             UPDATE ocpp.session SET disconnected_at = NULL
             FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS mine (charge_point_id, epoch, stream)
             WHERE session.charge_point_id = mine.charge_point_id AND session.epoch = mine.epoch
               AND session.stream = mine.stream AND disconnected_at IS NOT NULL
             RETURNING session.charge_point_id, protocol)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $4, $5, identity, site_id, json_build_object('protocol', protocol)
         FROM opened JOIN ocpp.charge_point ON charge_point.id = charge_point_id",
        &columns.charge_points,
        &columns.epochs,
        &columns.streams,
        now,
        Kind::ChargePointOnline.as_str(),
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Sessions as a statement takes many of them: column by column.
struct Columns {
    charge_points: Vec<Uuid>,
    epochs: Vec<i64>,
    streams: Vec<i64>,
}

impl Columns {
    fn of(sessions: &[Via]) -> Self {
        Self {
            charge_points: sessions.iter().map(|via| via.charge_point).collect(),
            epochs: sessions.iter().map(|via| via.epoch).collect(),
            streams: sessions.iter().map(|via| via.stream).collect(),
        }
    }
}
