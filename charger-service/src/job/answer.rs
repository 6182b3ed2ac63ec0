//! A charge point has answered the command that began a job.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// It will do it. It may have begun already.
pub async fn accepted(
    connection: &mut PgConnection,
    command: Uuid,
    file_name: Option<&str>,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.job
         SET status = CASE status WHEN 'requested' THEN 'accepted' ELSE status END, file_name = $2, updated_at = $3
         WHERE command_id = $1",
        command,
        file_name,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// It will not.
pub async fn rejected(connection: &mut PgConnection, command: Uuid, at: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.job SET status = 'rejected', updated_at = $2 WHERE command_id = $1 AND status = 'requested'",
        command,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
