//! What has had its time: files that charge points sent long ago, uploads that nobody went on with, and transfers that are over.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

/// Longer than any sender may be silent.
const STALE: TimeDelta = TimeDelta::minutes(10);

/// Files that go at a turn; the next turn has the next ones.
const MOST: i64 = 1000;

pub async fn keep(database: &PgPool, now: DateTime<Utc>, retention: TimeDelta) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM ocpp.file WHERE completed_at IS NULL AND touched_at < $1",
        now - STALE
    )
    .execute(database)
    .await?;
    sqlx::query!(
        "DELETE FROM ocpp.file WHERE id IN (
             SELECT id FROM ocpp.file WHERE kind <> 'firmware' AND completed_at < $1 ORDER BY completed_at LIMIT $2)",
        now - retention,
        MOST,
    )
    .execute(database)
    .await?;
    sqlx::query!("DELETE FROM ocpp.transfer WHERE expires_at < $1", now)
        .execute(database)
        .await?;
    Ok(())
}
