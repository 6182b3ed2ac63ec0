//! The state of a connector.
//!
//! Notifications may come in late or out of order, and the later state wins by the station's clock. A clock that is
//! plainly wrong must not decide, or one notification from the future would hide all that follow (rule 9 of the OCPP
//! decisions): then the order of arrival counts. Keeps the last state only; how it came about is in the message log.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

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

/// Stores the state unless a later one is known.
pub async fn store(connection: &mut PgConnection, status: &Status) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO ocpp.connector AS known (charge_point_id, connector_id, status, error_code, info, vendor_id,
             vendor_error_code, status_at, ordered_at, received_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (charge_point_id, connector_id) DO UPDATE
         SET status = excluded.status, error_code = excluded.error_code, info = excluded.info,
             vendor_id = excluded.vendor_id, vendor_error_code = excluded.vendor_error_code,
             status_at = excluded.status_at, ordered_at = excluded.ordered_at, received_at = excluded.received_at
         WHERE known.ordered_at <= excluded.ordered_at",
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
    )
    .execute(connection)
    .await?;
    Ok(())
}
