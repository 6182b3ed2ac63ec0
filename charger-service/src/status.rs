//! The state of a connector.
//!
//! Notifications may come in late or out of order, and the later state wins by the station's clock. A clock that is
//! plainly wrong must not decide, or one notification from the future would hide all that follow (rule 9 of the OCPP
//! decisions): then the order of arrival counts. How the state came about is kept for a while, too.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::event::Kind;
use crate::housekeeping::in_batches;
use crate::station_clock::ordered_at;

/// What the station says.
#[derive(Debug)]
pub struct Status {
    pub charge_point: Uuid,
    /// 0 is the charge point as a whole.
    pub connector_id: i32,
    pub status: String,
    pub error_code: String,
    pub info: Option<String>,
    pub vendor_id: Option<String>,
    pub vendor_error_code: Option<String>,
    /// By the station's clock, where it tells.
    pub status_at: Option<DateTime<Utc>>,
    /// By ours.
    pub received_at: DateTime<Utc>,
}

/// Stores the state unless a later one is known, and adds it to the history whichever is. It is an event where it counts and is
/// another than before; whether it is, is looked at where the row is locked, so that two connections cannot both find it is.
pub async fn store(connection: &mut PgConnection, status: &Status) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH history AS (
             INSERT INTO ocpp.connector_status (charge_point_id, connector_id, status, error_code, info, vendor_id,
                 vendor_error_code, status_at, received_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $10)),
         stored AS (
             INSERT INTO ocpp.connector AS known (charge_point_id, connector_id, status, error_code, info, vendor_id,
                 vendor_error_code, status_at, ordered_at, received_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (charge_point_id, connector_id) DO UPDATE
             SET status = excluded.status, error_code = excluded.error_code, info = excluded.info,
                 vendor_id = excluded.vendor_id, vendor_error_code = excluded.vendor_error_code,
                 status_at = excluded.status_at, ordered_at = excluded.ordered_at, received_at = excluded.received_at,
                 is_news = (known.status, known.error_code, known.info, known.vendor_id, known.vendor_error_code)
                     IS DISTINCT FROM (excluded.status, excluded.error_code, excluded.info, excluded.vendor_id,
                         excluded.vendor_error_code)
             WHERE known.ordered_at <= excluded.ordered_at
             RETURNING is_news)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $10, $11, identity, site_id,
             json_build_object('connectorId', $2::integer, 'status', $3::text, 'errorCode', $4::text, 'statusAt', $8::timestamptz)
         FROM stored JOIN ocpp.charge_point ON charge_point.id = $1 WHERE is_news",
        status.charge_point,
        status.connector_id,
        status.status,
        status.error_code,
        status.info,
        status.vendor_id,
        status.vendor_error_code,
        status.status_at.unwrap_or(status.received_at),
        ordered_at(status.status_at, status.received_at),
        status.received_at,
        Kind::ConnectorStatus.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes what of the history is older than it is kept.
pub async fn prune(database: &PgPool, now: DateTime<Utc>, retention: TimeDelta) -> Result<(), sqlx::Error> {
    in_batches(|at_once| async move {
        let pruned = sqlx::query!(
            "DELETE FROM ocpp.connector_status WHERE id IN (
                 SELECT id FROM ocpp.connector_status WHERE received_at < $1 ORDER BY received_at LIMIT $2
                 FOR UPDATE SKIP LOCKED)",
            now - retention,
            at_once,
        )
        .execute(database)
        .await?;
        Ok(pruned.rows_affected())
    })
    .await
}
