//! Whether connectors are to be used: what operators asked for, and what the charge point made of it. How a connector is
//! at the moment, it tells by its status.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

#[derive(Debug)]
pub struct Availability<'a> {
    pub charge_point: Uuid,
    /// 0 is the charge point with all its connectors.
    pub connector_id: i32,
    /// `Operative` or `Inoperative`.
    pub desired: &'a str,
    /// Verbatim, such as `Scheduled`.
    pub answer: &'a str,
    pub at: DateTime<Utc>,
}

/// What is said of all connectors outdates what was said of each, unless the charge point refuses.
pub async fn store(connection: &mut PgConnection, availability: &Availability<'_>) -> Result<(), sqlx::Error> {
    if availability.connector_id == 0 && availability.answer != "Rejected" {
        sqlx::query!(
            "DELETE FROM ocpp.availability WHERE charge_point_id = $1 AND connector_id <> 0",
            availability.charge_point,
        )
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query!(
        "INSERT INTO ocpp.availability (charge_point_id, connector_id, desired, answer, answered_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (charge_point_id, connector_id) DO UPDATE
         SET desired = excluded.desired, answer = excluded.answer, answered_at = excluded.answered_at",
        availability.charge_point,
        availability.connector_id,
        availability.desired,
        availability.answer,
        availability.at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
