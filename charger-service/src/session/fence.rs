//! Which session of a charge point is the present one.
//!
//! Each session has an epoch, one higher than the one before. An older session can neither say that its charge point is
//! there or gone, nor send it anything. Facts about transactions are not fenced: a stop that comes in on the old
//! socket as it dies is true.

use chrono::{DateTime, Utc};
use ocpp::Version;
use sqlx::PgPool;
use uuid::Uuid;

use crate::command::ledger;
use crate::notice::{Notice, tell};
use crate::registry::{Handle, Registry};

/// A session, present or past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via {
    pub charge_point: Uuid,
    pub epoch: i64,
}

#[derive(Debug)]
pub struct NewSession<'a> {
    pub charge_point: Uuid,
    /// The process that owns it.
    pub instance: Uuid,
    pub version: Version,
    /// The charge point's address, as the gateway tells it.
    pub peer: Option<&'a str>,
    pub connected_at: DateTime<Utc>,
}

/// Makes a session the present one. What the one before had sent and not heard back of is over.
pub async fn claim(database: &PgPool, sessions: &Registry, new: &NewSession<'_>) -> Result<(Via, Handle), sqlx::Error> {
    let mut transaction = database.begin().await?;
    let epoch = sqlx::query_scalar!(
        "INSERT INTO ocpp.session AS known (charge_point_id, epoch, instance_id, protocol, peer, connected_at)
         VALUES ($1, 1, $2, $3, $4, $5)
         ON CONFLICT (charge_point_id) DO UPDATE
         SET epoch = known.epoch + 1, instance_id = excluded.instance_id, protocol = excluded.protocol,
             peer = excluded.peer, connected_at = excluded.connected_at, disconnected_at = NULL
         RETURNING epoch",
        new.charge_point,
        new.instance,
        new.version.subprotocol(),
        new.peer,
        new.connected_at,
    )
    .fetch_one(&mut *transaction)
    .await?;
    ledger::abandon(&mut transaction, new.charge_point, epoch - 1, new.connected_at).await?;
    tell(
        &mut transaction,
        &[Notice::Claimed {
            charge_point: new.charge_point,
            epoch,
        }],
    )
    .await?;
    // Before the commit: a still newer session comes after it, and must find this one to tell it.
    let handle = sessions.enter(new.charge_point, epoch);
    if let Err(error) = transaction.commit().await {
        sessions.leave(new.charge_point, epoch);
        return Err(error);
    }
    Ok((
        Via {
            charge_point: new.charge_point,
            epoch,
        },
        handle,
    ))
}

/// Ends a session. Where a newer one is there, only what this one had sent is over.
pub async fn release(database: &PgPool, via: Via, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    sqlx::query!(
        "UPDATE ocpp.session SET disconnected_at = $3
         WHERE charge_point_id = $1 AND epoch = $2 AND disconnected_at IS NULL",
        via.charge_point,
        via.epoch,
        now,
    )
    .execute(&mut *transaction)
    .await?;
    ledger::abandon(&mut transaction, via.charge_point, via.epoch, now).await?;
    transaction.commit().await
}

/// Those of `sessions` that a newer one has taken over from, with its epoch.
pub async fn stale(database: &PgPool, sessions: &[(Uuid, i64)]) -> Result<Vec<(Uuid, i64)>, sqlx::Error> {
    let (charge_points, epochs): (Vec<Uuid>, Vec<i64>) = sessions.iter().copied().unzip();
    let rows = sqlx::query!(
        "SELECT session.charge_point_id, session.epoch
         FROM unnest($1::uuid[], $2::bigint[]) AS mine (charge_point_id, epoch)
         JOIN ocpp.session ON session.charge_point_id = mine.charge_point_id AND session.epoch > mine.epoch",
        &charge_points,
        &epochs,
    )
    .fetch_all(database)
    .await?;
    Ok(rows.into_iter().map(|row| (row.charge_point_id, row.epoch)).collect())
}
