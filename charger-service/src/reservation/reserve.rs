//! A charge point has answered a ReserveNow.

use chrono::{DateTime, Utc};
use ocpp::v1_6::ReserveNow;
use sqlx::PgConnection;
use uuid::Uuid;

#[derive(Debug)]
pub struct Reserved<'a> {
    /// Of the command, and so of the reservation.
    pub id: Uuid,
    pub charge_point: Uuid,
    pub request: &'a ReserveNow,
    /// Verbatim, such as `Occupied`.
    pub answer: &'a str,
    pub at: DateTime<Utc>,
}

/// An accepted one takes the place of the one that has its number (5.13); one that was refused changes nothing.
pub async fn reserved(connection: &mut PgConnection, reserved: &Reserved<'_>) -> Result<(), sqlx::Error> {
    let accepted = reserved.answer == "Accepted";
    if accepted {
        sqlx::query!(
            "UPDATE ocpp.reservation
             SET status = CASE WHEN expires_at <= $3 THEN 'expired' ELSE 'replaced' END, ended_at = least(expires_at, $3)
             WHERE charge_point_id = $1 AND reservation_id = $2 AND status = 'accepted'",
            reserved.charge_point,
            reserved.request.reservation_id,
            reserved.at,
        )
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query!(
        "INSERT INTO ocpp.reservation (id, charge_point_id, reservation_id, connector_id, id_tag, parent_id_tag,
             expires_at, status, answer, answered_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $8 THEN 'accepted' ELSE 'rejected' END, $9, $10)",
        reserved.id,
        reserved.charge_point,
        reserved.request.reservation_id,
        reserved.request.connector_id,
        reserved.request.id_tag,
        reserved.request.parent_id_tag,
        reserved.request.expiry_date,
        accepted,
        reserved.answer,
        reserved.at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
