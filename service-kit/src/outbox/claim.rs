//! The statements by which a relay takes rows out of the outbox and settles them.
//!
//! A row is taken by lease, not by a lock held while it is published. A publish can hang for as long as the network
//! lets it; a transaction kept open meanwhile would hold back vacuum and a connection of the pool, and the database
//! would end it with the process's connection anyway. A lease costs one update, survives a lost connection, and ends by
//! itself: if the process dies, another relay takes the row when the lease is over.
//!
//! Times here are the database's. Replicas must agree on when a lease ends, and the database is what they share.
//!
//! `next_attempt_at` is the epoch for rows that wait for nothing: those never tried, and those given back untried. So the index on it and on
//! the position has them first, in the order in which they were written, and a look reads no row that is not due, however many wait.
//! With the time of writing there it would be the order in which transactions began, which is another one.

use std::time::Duration;

use bytes::Bytes;
use sqlx::PgPool;
use uuid::Uuid;

use crate::event::{self, Event};

/// A row under this relay's lease.
pub(super) struct Claimed {
    pub position: i64,
    pub attempts: i32,
    /// Since it was written.
    pub age: Duration,
    pub event: Event,
}

/// Takes up to `limit` open rows for `lease`: those that wait for nothing, the oldest first, then those whose pause or lease is over.
/// Rows that another relay is just taking are passed over. What has expired is left to [`delete_expired`].
pub(super) async fn take(
    database: &PgPool,
    claim: Uuid,
    limit: i64,
    lease: Duration,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let mut rows = sqlx::query!(
        r#"
        WITH due AS (
            SELECT position FROM outbox
            WHERE sent_at IS NULL AND dead_at IS NULL AND next_attempt_at <= now()
                AND (expires_at IS NULL OR expires_at > now())
            ORDER BY next_attempt_at, position
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        )
        UPDATE outbox
        SET claim = $2, next_attempt_at = now() + make_interval(secs => $3)
        FROM due
        WHERE outbox.position = due.position
        RETURNING outbox.position, id, type AS kind, source, time, data, expires_at, language, attempts,
            extract(epoch FROM now() - created_at)::float8 AS "age!"
        "#,
        limit,
        claim,
        lease.as_secs_f64(),
    )
    .fetch_all(database)
    .await?;
    // RETURNING gives them in no order.
    rows.sort_unstable_by_key(|row| row.position);
    Ok(rows
        .into_iter()
        .map(|row| Claimed {
            position: row.position,
            attempts: row.attempts,
            age: Duration::try_from_secs_f64(row.age).unwrap_or_default(),
            event: Event {
                id: row.id.to_string(),
                r#type: row.kind,
                source: row.source,
                time: Some(event::timestamp(row.time)),
                data: Bytes::from(row.data),
                expires_at: row.expires_at.map(event::timestamp),
                language: row.language,
            },
        })
        .collect())
}

/// Notes that the bus has these rows. True whoever holds the lease by now, so the claim does not matter. Of an event that
/// expires nothing is kept but that it was there: its data holds a secret, and has done its work.
pub(super) async fn mark_sent(database: &PgPool, positions: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        UPDATE outbox
        SET sent_at = now(), claim = NULL, last_error = NULL,
            data = CASE WHEN expires_at IS NULL THEN data ELSE '' END
        WHERE position = ANY($1) AND sent_at IS NULL
        "#,
        positions,
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Gives rows back untried: the bus was down, which is no row's fault. They have their place before whatever was written later.
pub(super) async fn release(database: &PgPool, claim: Uuid, positions: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        UPDATE outbox SET claim = NULL, next_attempt_at = 'epoch'
        WHERE position = ANY($1) AND claim = $2
        "#,
        positions,
        claim,
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Sets a row back that the bus did not take this time.
pub(super) async fn postpone(
    database: &PgPool,
    claim: Uuid,
    position: i64,
    pause: Duration,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        UPDATE outbox
        SET claim = NULL, attempts = attempts + 1, last_error = $4,
            next_attempt_at = now() + make_interval(secs => $3)
        WHERE position = $1 AND claim = $2
        "#,
        position,
        claim,
        pause.as_secs_f64(),
        reason,
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Sets a row aside, with its reason, so that it does not stand in the way of the rest.
pub(super) async fn bury(database: &PgPool, claim: Uuid, position: i64, reason: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        UPDATE outbox
        SET claim = NULL, attempts = attempts + 1, last_error = $3, dead_at = now()
        WHERE position = $1 AND claim = $2
        "#,
        position,
        claim,
        reason,
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Deletes rows that expired without having been sent, at most `limit` of them, and says of what types they were. Those that were
/// set aside go too, whatever was wrong with them.
pub(super) async fn delete_expired(database: &PgPool, limit: i64) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        DELETE FROM outbox
        WHERE position IN (
            SELECT position FROM outbox
            WHERE sent_at IS NULL AND expires_at <= now()
            ORDER BY expires_at
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING type
        "#,
        limit,
    )
    .fetch_all(database)
    .await
}

/// Deletes rows sent longer than `retention` ago, at most `limit` of them, and says how many.
pub(super) async fn prune(database: &PgPool, retention: Duration, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        DELETE FROM outbox
        WHERE position IN (
            SELECT position FROM outbox
            WHERE sent_at < now() - make_interval(secs => $1)
            ORDER BY sent_at
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        )
        "#,
        retention.as_secs_f64(),
        limit,
    )
    .execute(database)
    .await?;
    Ok(done.rows_affected())
}
