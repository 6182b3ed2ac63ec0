//! What waits, as the process's metrics tell it. Every replica measures the same database, so the largest of their numbers counts.

use std::time::Duration;

use chrono::{DateTime, Utc};
use service_kit::dead_letter;
use service_kit::housekeeping::every;
use sqlx::{PgPool, Postgres, Transaction};

use crate::State;

/// Between two measurements.
const MEASURING: Duration = Duration::from_secs(15);

/// Nobody needs to know exactly how many there are beyond this, and counting takes time.
const MOST: i64 = 100_000;

/// Measures for as long as it is polled.
pub async fn keep_measuring(state: &State) {
    metrics::gauge!("charger_sessions_open").increment(0.0);
    tokio::join!(
        every(MEASURING, "counting commands that wait", || commands(&state.database)),
        every(MEASURING, "measuring how far events are behind", || {
            events(&state.database, state.clock.now())
        }),
        every(MEASURING, "counting dead letters", || dead_letters(&state.database)),
    );
}

/// Whoever measures waits for nobody: where a table is locked, the next measurement will do.
async fn impatiently(database: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut transaction = database.begin().await?;
    sqlx::raw_sql("SET LOCAL lock_timeout = '100ms'")
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

async fn commands(database: &PgPool) -> Result<(), sqlx::Error> {
    let waiting = sqlx::query!(
        r#"SELECT
               (SELECT count(*) FROM (SELECT FROM ocpp.command WHERE status = 'queued' LIMIT $1) AS queued) AS "queued!",
               (SELECT count(*) FROM (SELECT FROM ocpp.command WHERE status = 'sent' LIMIT $1) AS sent) AS "sent!""#,
        MOST,
    )
    .fetch_one(&mut *impatiently(database).await?)
    .await?;
    for (status, commands) in [("queued", waiting.queued), ("sent", waiting.sent)] {
        metrics::gauge!("charger_commands_waiting", "status" => status).set(commands as f64);
    }
    Ok(())
}

async fn dead_letters(database: &PgPool) -> Result<(), sqlx::Error> {
    let letters = dead_letter::count(&mut *impatiently(database).await?).await?;
    metrics::gauge!("charger_dead_letters").set(letters as f64);
    Ok(())
}

/// Events that are written and not yet told, since a transaction that began before them is still open (ADR 11).
async fn events(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let held = sqlx::query!(
        r#"SELECT count(*) AS "events!", min(at) AS oldest
           FROM (SELECT at FROM ocpp.event WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())
                 ORDER BY xid, id LIMIT $1) AS held"#,
        MOST,
    )
    .fetch_one(&mut *impatiently(database).await?)
    .await?;
    let lag = held.oldest.and_then(|oldest| (now - oldest).to_std().ok());
    metrics::gauge!("charger_events_held_back").set(held.events as f64);
    metrics::gauge!("charger_event_lag_seconds").set(lag.unwrap_or_default());
    Ok(())
}
