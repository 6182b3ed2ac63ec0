//! Whether charge points that took firmware on have installed it: their jobs tell, or the time for it is over.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::housekeeping::in_batches;

/// Where a charge point was told to try again, a failed download is not its last word until then.
pub async fn follow(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    in_batches(|at_once| async move {
        let moved = sqlx::query!(
            "UPDATE ocpp.campaign_target AS target
             SET state = CASE found.status WHEN 'completed' THEN 'accepted' WHEN 'failed' THEN 'failed'
                              WHEN 'canceled' THEN 'failed' WHEN 'rejected' THEN 'failed' ELSE 'timeout' END,
                 changed_at = $1
             FROM (SELECT installing.campaign_id, installing.position, job.status
                   FROM ocpp.campaign_target AS installing
                   JOIN ocpp.campaign ON campaign.id = installing.campaign_id
                   LEFT JOIN ocpp.job ON job.command_id = installing.command_id
                   WHERE installing.state = 'installing'
                     AND (installing.due_at <= $1 OR job.status IN ('completed', 'canceled', 'rejected')
                          OR (job.status = 'failed'
                              AND (job.progress IS DISTINCT FROM 'DownloadFailed'
                                   OR coalesce((firmware ->> 'retries')::integer, 0) = 0)))
                   ORDER BY installing.due_at LIMIT $2
                   FOR UPDATE OF installing SKIP LOCKED) AS found
             WHERE target.campaign_id = found.campaign_id AND target.position = found.position",
            now,
            at_once,
        )
        .execute(database)
        .await?;
        Ok(moved.rows_affected())
    })
    .await
}
