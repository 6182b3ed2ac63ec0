//! What has had its time: files that charge points sent long ago, uploads that nobody went on with, and transfers that are over.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use crate::housekeeping::{in_batches, in_batches_of};

/// Longer than the gateway lets a whole file take. Within it only as many bytes may come in as make no whole piece, which is what the
/// database sees of one.
const STALE: TimeDelta = TimeDelta::hours(2);

/// Files deleted by one statement, which takes the pieces with them: thousands of each, where files may be large.
const AT_ONCE: u32 = 5;

pub async fn keep(database: &PgPool, now: DateTime<Utc>, retention: TimeDelta) -> Result<(), sqlx::Error> {
    in_batches_of(AT_ONCE, |at_once| async move {
        let dropped = sqlx::query!(
            "DELETE FROM ocpp.file WHERE id IN (
                 SELECT id FROM ocpp.file WHERE completed_at IS NULL AND touched_at < $1
                 ORDER BY touched_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            now - STALE,
            at_once,
        )
        .execute(database)
        .await?;
        Ok(dropped.rows_affected())
    })
    .await?;
    in_batches_of(AT_ONCE, |at_once| async move {
        let dropped = sqlx::query!(
            "DELETE FROM ocpp.file WHERE id IN (
                 SELECT id FROM ocpp.file WHERE kind <> 'firmware' AND completed_at < $1
                 ORDER BY completed_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            now - retention,
            at_once,
        )
        .execute(database)
        .await?;
        Ok(dropped.rows_affected())
    })
    .await?;
    // What came in time may still be coming in.
    in_batches(|at_once| async move {
        let dropped = sqlx::query!(
            "DELETE FROM ocpp.transfer WHERE id IN (
                 SELECT id FROM ocpp.transfer WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            now - STALE,
            at_once,
        )
        .execute(database)
        .await?;
        Ok(dropped.rows_affected())
    })
    .await
}
