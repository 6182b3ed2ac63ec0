//! How full an outbox is: the first number to look at when mail is late.

use std::time::Duration;

use metrics::gauge;
use sqlx::PgPool;

/// How long the oldest event that is still to be published has waited.
///
/// # Errors
/// The database does not answer.
pub async fn lag(database: &PgPool) -> Result<Duration, sqlx::Error> {
    let seconds = sqlx::query_scalar!(
        r#"
        SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS "lag!"
        FROM outbox
        WHERE sent_at IS NULL AND dead_at IS NULL
        "#
    )
    .fetch_one(database)
    .await?;
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Measures the outbox of `schema` into the process's metrics.
///
/// `voltgate_outbox_open` counts the rows still to be published, `voltgate_outbox_lag_seconds` is the age of the oldest
/// of them (0 without any), `voltgate_outbox_dead` counts those given up.
pub(super) async fn measure(database: &PgPool, schema: &str) -> Result<(), sqlx::Error> {
    let row = sqlx::query!(
        r#"
        SELECT
            count(*) AS "open!",
            coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS "lag!",
            (SELECT count(*) FROM outbox WHERE dead_at IS NOT NULL) AS "dead!"
        FROM outbox
        WHERE sent_at IS NULL AND dead_at IS NULL
        "#
    )
    .fetch_one(database)
    .await?;
    let schema = schema.to_owned();
    gauge!("voltgate_outbox_open", "schema" => schema.clone()).set(row.open as f64);
    gauge!("voltgate_outbox_dead", "schema" => schema.clone()).set(row.dead as f64);
    gauge!("voltgate_outbox_lag_seconds", "schema" => schema).set(row.lag);
    Ok(())
}
