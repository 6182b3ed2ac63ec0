//! A transaction has started on a reservation, which ends it (5.13).

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// The start may come in long after the reservation's time, since the charge point may have been offline.
pub async fn redeemed(
    connection: &mut PgConnection,
    charge_point: Uuid,
    reservation_id: i32,
    transaction_id: i32,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.reservation SET status = 'used', transaction_id = $3, ended_at = $4
         WHERE charge_point_id = $1 AND reservation_id = $2 AND status = 'accepted'",
        charge_point,
        reservation_id,
        transaction_id,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
