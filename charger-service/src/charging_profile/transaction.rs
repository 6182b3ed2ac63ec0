//! A profile for one transaction lives as long as the transaction (7.10).

use sqlx::PgConnection;
use uuid::Uuid;

use super::TX_PROFILE;
use crate::charging_profile_template::place::{self, Loss};

/// The profile that came with a remote start belongs to the transaction that follows from it, and takes the place of the one of
/// its purpose and stack level on the connector (5.16.3). Of several that wait, the last to be confirmed does.
pub async fn started(
    connection: &mut PgConnection,
    charge_point: Uuid,
    connector_id: i32,
    id_tag: &str,
    transaction_id: i32,
) -> Result<(), sqlx::Error> {
    let replaced = sqlx::query_scalar!(
        r#"WITH waiting AS (
             SELECT charging_profile_id, purpose, stack_level, confirmed_at FROM ocpp.charging_profile
             WHERE charge_point_id = $1 AND lower(id_tag) = lower($3 COLLATE "C") AND coalesce(connector_id, $2) = $2)
         DELETE FROM ocpp.charging_profile AS replaced USING waiting
         WHERE replaced.charge_point_id = $1 AND replaced.charging_profile_id <> waiting.charging_profile_id
           AND replaced.purpose = waiting.purpose AND replaced.stack_level = waiting.stack_level
           AND CASE WHEN replaced.charging_profile_id IN (SELECT charging_profile_id FROM waiting)
                    THEN (replaced.confirmed_at, replaced.charging_profile_id)
                         < (waiting.confirmed_at, waiting.charging_profile_id)
                    ELSE replaced.connector_id = $2 AND replaced.id_tag IS NULL END
         RETURNING replaced.charging_profile_id"#,
        charge_point,
        connector_id,
        id_tag,
    )
    .fetch_all(&mut *connection)
    .await?;
    place::lost(connection, charge_point, &replaced, Loss::Replaced).await?;
    sqlx::query!(
        r#"UPDATE ocpp.charging_profile SET transaction_id = $4, connector_id = $2, id_tag = NULL
         WHERE charge_point_id = $1 AND lower(id_tag) = lower($3 COLLATE "C") AND coalesce(connector_id, $2) = $2"#,
        charge_point,
        connector_id,
        id_tag,
        transaction_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One that names no transaction was for the one that ran on its connector. What waits for a remote start stays.
pub async fn stopped(
    connection: &mut PgConnection,
    charge_point: Uuid,
    connector_id: i32,
    transaction_id: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM ocpp.charging_profile
         WHERE charge_point_id = $1 AND purpose = $2
           AND (transaction_id = $3 OR (transaction_id IS NULL AND id_tag IS NULL AND connector_id = $4))",
        charge_point,
        TX_PROFILE,
        transaction_id,
        connector_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}
