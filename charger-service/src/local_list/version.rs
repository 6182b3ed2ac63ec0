//! A charge point has told the version of its list.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// 0 and -1 say that there is nothing in it (5.10).
pub async fn reported(
    connection: &mut PgConnection,
    charge_point: Uuid,
    version: i32,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let is_empty = version <= 0;
    sqlx::query!(
        "INSERT INTO ocpp.local_list AS stored (charge_point_id, reported_version, reported_at, entries_version)
         VALUES ($1, $2::integer, $3, CASE WHEN $4 THEN $2 END)
         ON CONFLICT (charge_point_id) DO UPDATE
         SET reported_version = excluded.reported_version, reported_at = excluded.reported_at,
             entries_version = coalesce(excluded.entries_version, stored.entries_version)",
        charge_point,
        version,
        at,
        is_empty,
    )
    .execute(&mut *connection)
    .await?;
    if is_empty {
        sqlx::query!(
            "DELETE FROM ocpp.local_list_entry WHERE charge_point_id = $1",
            charge_point
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}
