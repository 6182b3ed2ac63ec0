//! A charge point has answered the command that began a job.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::event::Kind;

/// It will do it. It may have begun already.
pub async fn accepted(
    connection: &mut PgConnection,
    command: Uuid,
    file_name: Option<&str>,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH before AS (SELECT id, status FROM ocpp.job WHERE command_id = $1 FOR UPDATE),
         moved AS (
             UPDATE ocpp.job
             SET status = CASE job.status WHEN 'requested' THEN 'accepted' ELSE job.status END, file_name = $2,
                 updated_at = $3
             FROM before WHERE job.id = before.id
             RETURNING job.id, charge_point_id, kind, job.status, progress, before.status = 'requested' AS is_news)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $3, $4, identity, site_id,
             json_build_object('jobId', moved.id, 'kind', kind, 'status', status, 'progress', progress)
         FROM moved JOIN ocpp.charge_point ON charge_point.id = charge_point_id WHERE is_news",
        command,
        file_name,
        at,
        Kind::JobStatus.as_str(),
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
        "WITH moved AS (
             UPDATE ocpp.job AS earlier SET status = 'canceled', updated_at = $2
             FROM ocpp.job AS newer
             WHERE newer.command_id = $1 AND earlier.charge_point_id = newer.charge_point_id
               AND earlier.kind = newer.kind AND earlier.id < newer.id
               AND earlier.status IN ('requested', 'accepted', 'running')
             RETURNING earlier.id, earlier.charge_point_id, earlier.kind, earlier.status, earlier.progress)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $2, $3, identity, site_id,
             json_build_object('jobId', moved.id, 'kind', kind, 'status', status, 'progress', progress)
         FROM moved JOIN ocpp.charge_point ON charge_point.id = charge_point_id",
        command,
        at,
        Kind::JobStatus.as_str(),
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
        "WITH moved AS (
             UPDATE ocpp.job SET status = 'rejected', progress = coalesce($3, progress), updated_at = $2
             WHERE command_id = $1 AND status = 'requested'
             RETURNING id, charge_point_id, kind, status, progress)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $2, $4, identity, site_id,
             json_build_object('jobId', moved.id, 'kind', kind, 'status', status, 'progress', progress)
         FROM moved JOIN ocpp.charge_point ON charge_point.id = charge_point_id",
        command,
        at,
        why,
        Kind::JobStatus.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
