//! The log's partitions, one a week: made ahead of time, and dropped when everything in them is older than is to be kept.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

/// This week and the four after it, so that a month without this task loses no message.
const WEEKS_AHEAD: i32 = 5;

/// Whole weeks go at once, so what is kept may be up to seven days older than `retention`.
pub async fn keep(database: &PgPool, now: DateTime<Utc>, retention: TimeDelta) -> Result<(), sqlx::Error> {
    // From yesterday on: a clock that is set back a little must still find its place.
    let first_day = now - TimeDelta::days(1);
    sqlx::query!("SELECT ocpp.create_message_partitions($1, $2)", first_day, WEEKS_AHEAD)
        .fetch_one(database)
        .await?;
    let dropped = sqlx::query_scalar!(
        r#"SELECT ocpp.drop_message_partitions($1) AS "dropped!""#,
        now - retention
    )
    .fetch_one(database)
    .await?;
    if dropped > 0 {
        tracing::info!(weeks = dropped, "Messages older than the retention were dropped");
    }
    Ok(())
}
