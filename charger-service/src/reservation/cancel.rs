//! A charge point has cancelled a reservation.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// One that nobody here knows is none of ours.
pub async fn cancelled(
    connection: &mut PgConnection,
    charge_point: Uuid,
    reservation_id: i32,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.reservation SET status = 'cancelled', ended_at = $3
         WHERE charge_point_id = $1 AND reservation_id = $2 AND status = 'accepted'",
        charge_point,
        reservation_id,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
