//! Imports that were done. One that is asked for again under its key is answered alike, but for passwords, which are shown once.

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::database;
use service_kit::reason::Reason;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;

use super::Import;
use crate::housekeeping::in_batches;

/// What came of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Rows of the file, each of which made one thing.
    pub rows: i32,
}

#[derive(Debug, Error)]
pub enum RecordError {
    #[error("the idempotency key came with another file")]
    KeyReused,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<RecordError> for Status {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::KeyReused => {
                Reason::IdempotencyKeyReused.status("This Idempotency-Key came with another file before")
            }
            RecordError::Database(error) => database::failed(&error),
        }
    }
}

/// The import that was done before under the same key, if it was. `kind`: of the things that it makes. A file that is only checked is
/// checked each time.
pub async fn earlier(connection: &mut PgConnection, import: &Import, kind: &str) -> Result<Option<Done>, RecordError> {
    let Some(key) = import.idempotency_key.as_ref().filter(|_| !import.dry_run) else {
        return Ok(None);
    };
    let before = sqlx::query!(
        "SELECT kind, digest, rows FROM ocpp.import WHERE requested_by = $1 AND idempotency_key = $2",
        import.author.to_string(),
        key,
    )
    .fetch_optional(connection)
    .await?;
    match before {
        None => Ok(None),
        Some(before) if before.kind == kind && before.digest == import.digest => Ok(Some(Done { rows: before.rows })),
        Some(_) => Err(RecordError::KeyReused),
    }
}

/// Keeps one that is done with the transaction, before what it makes. False where another one has the same key: then that one is to
/// be looked at.
pub async fn keep(
    connection: &mut PgConnection,
    import: &Import,
    kind: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let kept = sqlx::query!(
        "INSERT INTO ocpp.import (id, kind, requested_by, idempotency_key, digest, rows, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        import.id,
        kind,
        import.author.to_string(),
        import.idempotency_key,
        import.digest.as_slice(),
        import.done().rows,
        now,
    )
    .execute(connection)
    .await?;
    Ok(kept.rows_affected() > 0)
}

/// Deletes what is older than it is kept.
pub async fn prune(database: &PgPool, now: DateTime<Utc>, retention: TimeDelta) -> Result<(), sqlx::Error> {
    in_batches(|at_once| async move {
        let pruned = sqlx::query!(
            "DELETE FROM ocpp.import WHERE id IN (
                 SELECT id FROM ocpp.import WHERE created_at < $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            now - retention,
            at_once,
        )
        .execute(database)
        .await?;
        Ok(pruned.rows_affected())
    })
    .await
}
