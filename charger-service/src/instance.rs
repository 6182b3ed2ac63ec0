//! This process among its replicas: a lease that it renews, so that a charge point is not shown as connected to a process
//! that was killed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::command::ledger::ending;
use crate::event::Kind;

/// A process that has not renewed its lease for this long, in seconds, is taken for dead.
const LEASE_SECONDS: f64 = 15.0;

/// Several tries fit into a lease.
pub const RENEWAL: Duration = Duration::from_secs(4);

/// Registers this process, or renews its lease. True where it had run out and the process may have been taken for dead.
pub async fn renew(database: &PgPool, instance: Uuid) -> Result<bool, sqlx::Error> {
    let new = sqlx::query_scalar!(
        r#"INSERT INTO ocpp.instance AS known (id, lease_until) VALUES ($1, now() + make_interval(secs => $2))
           ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until
           RETURNING xmax = 0 AS "new!""#,
        instance,
        LEASE_SECONDS,
    )
    .fetch_one(database)
    .await?;
    Ok(new)
}

/// Buries processes that died: their sessions are over, and so is what they had sent.
pub async fn bury(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    let dead = sqlx::query_scalar!("DELETE FROM ocpp.instance WHERE lease_until < now() RETURNING id")
        .fetch_all(&mut *transaction)
        .await?;
    for instance in &dead {
        let ended = end_sessions(&mut transaction, *instance, now).await?;
        tracing::warn!(%instance, sessions = ended, "A replica was taken for dead, and its sessions ended");
    }
    transaction.commit().await
}

/// Leaves in good order. Sessions that are still this process's are resumed at another replica before the lease runs out, or
/// are over.
pub async fn retire(database: &PgPool, instance: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH open AS (SELECT FROM ocpp.session WHERE instance_id = $1 AND disconnected_at IS NULL LIMIT 1)
         DELETE FROM ocpp.instance WHERE id = $1 AND NOT EXISTS (SELECT FROM open)",
        instance
    )
    .execute(database)
    .await?;
    Ok(())
}

async fn end_sessions(
    connection: &mut sqlx::PgConnection,
    instance: Uuid,
    now: DateTime<Utc>,
) -> Result<usize, sqlx::Error> {
    let ended = sqlx::query!(
        r#"WITH ended AS (
             UPDATE ocpp.session SET disconnected_at = $2
             WHERE instance_id = $1 AND disconnected_at IS NULL
             RETURNING charge_point_id, epoch),
         told AS (
             INSERT INTO ocpp.event (at, type, identity, site_id, data)
             SELECT $2, $3, identity, site_id, '{}'
             FROM ended JOIN ocpp.charge_point ON charge_point.id = charge_point_id)
         SELECT charge_point_id AS "charge_point_id!", epoch AS "epoch!" FROM ended"#,
        instance,
        now,
        Kind::ChargePointOffline.as_str(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let sessions: Vec<_> = ended
        .iter()
        .map(|session| (session.charge_point_id, session.epoch))
        .collect();
    ending::abandon(connection, &sessions, now).await?;
    Ok(ended.len())
}
