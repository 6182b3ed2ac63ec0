//! The table's partitions, one a day: made ahead of time, and dropped when everything in them is older than is to be kept.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

/// Today and two weeks more, so that as long without this task loses no event, and no fact with it.
const DAYS_AHEAD: i32 = 16;

/// Makes what is missing.
pub async fn create(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    // From yesterday on: a clock that is set back a little must still find its place.
    let first_day = now - TimeDelta::days(1);
    sqlx::query!("SELECT ocpp.create_event_partitions($1, $2)", first_day, DAYS_AHEAD)
        .fetch_one(database)
        .await?;
    Ok(())
}

/// Whole days go at once, so what is kept may be up to a day older than `retention`.
pub async fn keep(database: &PgPool, now: DateTime<Utc>, retention: TimeDelta) -> Result<(), sqlx::Error> {
    create(database, now).await?;
    let dropped = sqlx::query_scalar!(
        r#"SELECT ocpp.drop_event_partitions($1) AS "dropped!""#,
        now - retention
    )
    .fetch_one(database)
    .await?;
    if dropped > 0 {
        tracing::info!(days = dropped, "Events older than the retention were dropped");
    }
    Ok(())
}

/// Forgets events that another database server has written, as there are after a dump was restored. They would come before or
/// after all that happens from now on, as its transactions happen to be numbered.
pub async fn forget_foreign(database: &PgPool) -> Result<(), sqlx::Error> {
    let has_forgotten = sqlx::query_scalar!(r#"SELECT ocpp.forget_foreign_events() AS "forgotten!""#)
        .fetch_one(database)
        .await?;
    if has_forgotten {
        tracing::warn!("The database is on another server than before; the events of that one were forgotten");
    }
    Ok(())
}
