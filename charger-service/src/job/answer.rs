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

/// For it, it gives up those of its kind that came before, whether it had answered that it takes them on or not.
pub async fn canceled_earlier(
    connection: &mut PgConnection,
    command: Uuid,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.job AS earlier SET status = 'canceled', updated_at = $2
         FROM ocpp.job AS newer
         WHERE newer.command_id = $1 AND earlier.charge_point_id = newer.charge_point_id AND earlier.kind = newer.kind
           AND earlier.id < newer.id AND earlier.status IN ('requested', 'accepted', 'running')",
        command,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// It will not. `why`: the word that it says so with, where it is more than a refusal.
pub async fn rejected(
    connection: &mut PgConnection,
    command: Uuid,
    why: Option<&str>,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.job SET status = 'rejected', progress = coalesce($3, progress), updated_at = $2
         WHERE command_id = $1 AND status = 'requested'",
        command,
        at,
        why,
    )
    .execute(connection)
    .await?;
    Ok(())
}
