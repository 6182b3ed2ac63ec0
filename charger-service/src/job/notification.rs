//! A charge point says how it gets on with a job.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Kind;
use crate::event;

/// Notifications of one job that are kept; beyond them the oldest go. No job has as many, unless a charge point goes astray.
pub const MOST_NOTIFICATIONS: i64 = 1000;

/// Jobs that one charge point began itself, of which as many are kept.
const MOST_BEGUN_BY_STATION: i64 = 1000;

#[derive(Debug)]
pub struct Notification<'a> {
    pub charge_point: Uuid,
    pub kind: Kind,
    /// Of the job that it is about, where it says so.
    pub request_id: Option<i32>,
    /// Verbatim, such as `Downloading`.
    pub status: &'a str,
    pub received_at: DateTime<Utc>,
}

/// What a notification says of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing is going on, which is what a charge point says when it is asked (4.4, 4.5).
    Idle,
    /// It fetches or uploads the file.
    Transferring,
    Running,
    Completed,
    Failed,
}

impl Progress {
    fn of(status: &str) -> Self {
        match status {
            "Idle" => Self::Idle,
            "Downloading" | "Uploading" => Self::Transferring,
            "Installed" | "Uploaded" => Self::Completed,
            "DownloadFailed" | "InstallationFailed" | "UploadFailed" => Self::Failed,
            // The security extension.
            "InstallVerificationFailed"
            | "InvalidSignature"
            | "BadMessage"
            | "NotSupportedOperation"
            | "PermissionDenied"
            | "UploadFailure" => Self::Failed,
            _ => Self::Running,
        }
    }

    /// The job's status from then on. A charge point that is idle has said nothing of it.
    fn job_status(self) -> Option<&'static str> {
        match self {
            Self::Idle => None,
            Self::Transferring | Self::Running => Some("running"),
            Self::Completed => Some("completed"),
            Self::Failed => Some("failed"),
        }
    }
}

/// Joins the latest job of its kind. Where there is none, or that one is done and another transfer begins, the job began at
/// the charge point. After a failure a transfer goes on: the charge point tries again.
pub async fn notified(connection: &mut PgConnection, notification: &Notification<'_>) -> Result<(), sqlx::Error> {
    let progress = Progress::of(notification.status);
    let joined = match numbered(connection, notification).await? {
        Some(job) => Some(job),
        None => latest(connection, notification)
            .await?
            .filter(|job| !(job.completed && progress == Progress::Transferring))
            .map(|job| job.id),
    };
    let job = match joined {
        Some(job) => job,
        None if progress == Progress::Idle => return Ok(()),
        None => begin(connection, notification).await?,
    };
    keep(connection, job, notification, progress).await?;
    forget_oldest(connection, job).await
}

/// What a charge point still says of a job that it gave up is kept, and does not bring the job back.
async fn keep(
    connection: &mut PgConnection,
    job: Uuid,
    notification: &Notification<'_>,
    progress: Progress,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH kept AS (INSERT INTO ocpp.job_notification (job_id, status, received_at) VALUES ($1, $2, $3)),
         before AS (SELECT id, status, progress FROM ocpp.job WHERE id = $1 FOR UPDATE),
         moved AS (
             UPDATE ocpp.job
             SET status = CASE job.status WHEN 'canceled' THEN job.status ELSE coalesce($4, job.status) END,
                 progress = $2, updated_at = $3
             FROM before WHERE job.id = before.id
             RETURNING job.id, charge_point_id, kind, job.status, job.progress,
                 (before.status, before.progress) IS DISTINCT FROM (job.status, job.progress) AS is_news)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $3, $5, identity, site_id,
             json_build_object('jobId', moved.id, 'kind', kind, 'status', status, 'progress', progress)
         FROM moved JOIN ocpp.charge_point ON charge_point.id = charge_point_id WHERE is_news",
        job,
        notification.status,
        notification.received_at,
        progress.job_status(),
        event::Kind::JobStatus.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Of one job.
async fn forget_oldest(connection: &mut PgConnection, job: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM ocpp.job_notification WHERE job_id = $1 AND id <= (
             SELECT id FROM ocpp.job_notification WHERE job_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)",
        job,
        MOST_NOTIFICATIONS,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The job whose number it says.
async fn numbered(connection: &mut PgConnection, notification: &Notification<'_>) -> Result<Option<Uuid>, sqlx::Error> {
    let Some(request_id) = notification.request_id else {
        return Ok(None);
    };
    sqlx::query_scalar!(
        "SELECT id FROM ocpp.job WHERE charge_point_id = $1 AND kind = $2 AND request_id = $3 AND status <> 'rejected'
         ORDER BY id DESC LIMIT 1",
        notification.charge_point,
        notification.kind.as_str(),
        request_id,
    )
    .fetch_optional(connection)
    .await
}

struct Latest {
    id: Uuid,
    completed: bool,
}

async fn latest(connection: &mut PgConnection, notification: &Notification<'_>) -> Result<Option<Latest>, sqlx::Error> {
    sqlx::query_as!(
        Latest,
        r#"SELECT id, status = 'completed' AS "completed!" FROM ocpp.job
         WHERE charge_point_id = $1 AND kind = $2 AND status NOT IN ('rejected', 'canceled') ORDER BY id DESC LIMIT 1"#,
        notification.charge_point,
        notification.kind.as_str(),
    )
    .fetch_optional(connection)
    .await
}

async fn begin(connection: &mut PgConnection, notification: &Notification<'_>) -> Result<Uuid, sqlx::Error> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO ocpp.job (id, charge_point_id, kind, status, created_at, updated_at, request_id)
         VALUES ($1, $2, $3, 'running', $4, $4, $5)",
        id,
        notification.charge_point,
        notification.kind.as_str(),
        notification.received_at,
        notification.request_id,
    )
    .execute(&mut *connection)
    .await?;
    // Nobody has asked for these.
    sqlx::query!(
        "WITH gone AS (
             DELETE FROM ocpp.job WHERE charge_point_id = $1 AND command_id IS NULL AND id <= (
                 SELECT id FROM ocpp.job WHERE charge_point_id = $1 AND command_id IS NULL
                 ORDER BY id DESC OFFSET $2 LIMIT 1)
             RETURNING id)
         DELETE FROM ocpp.job_notification USING gone WHERE job_id = gone.id",
        notification.charge_point,
        MOST_BEGUN_BY_STATION,
    )
    .execute(connection)
    .await?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_1_6_says_how_a_job_stands() {
        for (status, job) in [
            ("Idle", None),
            ("Downloading", Some("running")),
            ("Downloaded", Some("running")),
            ("Installing", Some("running")),
            ("Uploading", Some("running")),
            ("Installed", Some("completed")),
            ("Uploaded", Some("completed")),
            ("DownloadFailed", Some("failed")),
            ("InstallationFailed", Some("failed")),
            ("UploadFailed", Some("failed")),
            ("UploadFailure", Some("failed")),
            ("InvalidSignature", Some("failed")),
            ("SignatureVerified", Some("running")),
        ] {
            assert_eq!(Progress::of(status).job_status(), job, "{status}");
        }
    }
}
