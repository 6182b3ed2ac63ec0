//! How much mail waits, and what waits for a decision: the numbers to look at when a mail server is slow. Every replica measures the same table, so the largest of
//! their numbers counts.

use chrono::{DateTime, Utc};
use metrics::gauge;
use service_kit::dead_letter;
use sqlx::PgPool;

/// Nobody needs to know exactly how many there are beyond this, and counting takes time.
const MOST: i64 = 100_000;

/// Measures into the process's metrics.
pub(crate) async fn measure(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let waiting = sqlx::query!(
        r#"
        SELECT
            (SELECT count(*) FROM (SELECT FROM email.message WHERE status = 'queued' LIMIT $1) AS queued) AS "queued!",
            (SELECT count(*) FROM (SELECT FROM email.message WHERE status = 'sending' LIMIT $1) AS sending) AS "sending!",
            (SELECT min(next_attempt_at) FROM email.message WHERE status = 'queued') AS due
        "#,
        MOST,
    )
    .fetch_one(database)
    .await?;
    for (status, messages) in [("queued", waiting.queued), ("sending", waiting.sending)] {
        gauge!("voltgate_mail_waiting", "status" => status).set(messages as f64);
    }
    let dead = dead_letter::count(&mut *database.acquire().await?).await?;
    gauge!("voltgate_mail_dead_letters").set(dead as f64);
    // What waits for its next attempt is not late.
    let lag = waiting.due.and_then(|due| (now - due).to_std().ok());
    gauge!("voltgate_mail_lag_seconds").set(lag.unwrap_or_default());
    Ok(())
}
