//! A charge point has taken a profile.

use chrono::{DateTime, Utc};
use ocpp::v1_6::ChargingProfile;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::charging_profile_template::place::{self, Loss};

#[derive(Debug)]
pub struct Set<'a> {
    pub charge_point: Uuid,
    /// 0 is the charge point as a whole; None where a remote start leaves the choice to it.
    pub connector_id: Option<i32>,
    pub profile: &'a ChargingProfile<'a>,
    /// Whose remote start brought it.
    pub id_tag: Option<&'a str>,
    pub at: DateTime<Utc>,
}

/// It takes the place of the one that has its id, and of the one of its purpose and stack level on its connector (5.16.3).
pub async fn set(connection: &mut PgConnection, set: &Set<'_>) -> Result<(), sqlx::Error> {
    let mut replaced = sqlx::query_scalar!(
        "DELETE FROM ocpp.charging_profile
         WHERE charge_point_id = $1 AND charging_profile_id <> $2 AND connector_id IS NOT DISTINCT FROM $3
           AND purpose = $4 AND stack_level = $5
         RETURNING charging_profile_id",
        set.charge_point,
        set.profile.id,
        set.connector_id,
        set.profile.purpose,
        set.profile.stack_level,
    )
    .fetch_all(&mut *connection)
    .await?;
    // Whatever has its id, until it is known who sent it.
    replaced.push(set.profile.id);
    place::lost(connection, set.charge_point, &replaced, Loss::Replaced).await?;
    sqlx::query!(
        "INSERT INTO ocpp.charging_profile (charge_point_id, charging_profile_id, connector_id, purpose, stack_level,
             kind, transaction_id, id_tag, valid_from, valid_to, profile, confirmed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::json, $12)
         ON CONFLICT (charge_point_id, charging_profile_id) DO UPDATE
         SET connector_id = excluded.connector_id, purpose = excluded.purpose, stack_level = excluded.stack_level,
             kind = excluded.kind, transaction_id = excluded.transaction_id, id_tag = excluded.id_tag,
             valid_from = excluded.valid_from, valid_to = excluded.valid_to, profile = excluded.profile,
             confirmed_at = excluded.confirmed_at",
        set.charge_point,
        set.profile.id,
        set.connector_id,
        set.profile.purpose,
        set.profile.stack_level,
        set.profile.kind,
        set.profile.transaction_id,
        set.id_tag,
        set.profile.valid_from,
        set.profile.valid_to,
        set.profile.json,
        set.at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
