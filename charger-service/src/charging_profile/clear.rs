//! A charge point has dropped profiles.

use ocpp::v1_6::ClearChargingProfile;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::charging_profile_template::place::{self, Loss};

/// The one of an id, or those that match everything else that is given (6.13 as its errata have it); without a criterion,
/// all.
pub async fn cleared(
    connection: &mut PgConnection,
    charge_point: Uuid,
    criteria: &ClearChargingProfile,
) -> Result<(), sqlx::Error> {
    let cleared = match criteria.id {
        Some(id) => {
            sqlx::query_scalar!(
                "DELETE FROM ocpp.charging_profile WHERE charge_point_id = $1 AND charging_profile_id = $2
                 RETURNING charging_profile_id",
                charge_point,
                id,
            )
            .fetch_all(&mut *connection)
            .await?
        }
        None => {
            sqlx::query_scalar!(
                "DELETE FROM ocpp.charging_profile
                 WHERE charge_point_id = $1 AND ($2::integer IS NULL OR connector_id = $2)
                   AND ($3::text IS NULL OR purpose = $3) AND ($4::integer IS NULL OR stack_level = $4)
                 RETURNING charging_profile_id",
                charge_point,
                criteria.connector_id,
                criteria.purpose,
                criteria.stack_level,
            )
            .fetch_all(&mut *connection)
            .await?
        }
    };
    place::lost(connection, charge_point, &cleared, Loss::Cleared).await
}
