//! The statements by which a sender takes messages and settles them.
//!
//! A message that is being sent is held by a lease which its sender renews, not by a lock: a mail server may take minutes
//! to answer. When a lease runs out its sender is dead, or as good as dead, and the message is taken by another. Leases go
//! by the database's clock, which all replicas share; when to try a message again goes by the service's own.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use super::erase;

/// A message in the hands of this sender.
pub(crate) struct Claimed {
    pub id: Uuid,
    pub template: String,
    /// Empty where it is for an account, and nobody has been asked who that is.
    pub recipient: String,
    pub account_id: Option<Uuid>,
    pub language: Option<String>,
    pub variables: Value,
    /// This one included.
    pub attempts: i32,
    pub created_at: DateTime<Utc>,
    /// How often nobody came to know whether the mail was out.
    pub unclear: i32,
    /// The mail's Message-ID, the same at each attempt.
    pub mail_id: String,
    /// No mail goes to its recipient.
    pub is_suppressed: bool,
}

/// By what a sender holds messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub claim: Uuid,
    pub length: Duration,
}

/// Takes up to `limit` messages that are due, or whose sender died: those with a code first, which is of use for a while only. What has
/// expired is left to [`expire`].
///
/// A sender that died while it was handing its message over may or may not have done so: then the message is marked as possibly sent twice.
///
/// Here a message gets its Message-ID, once: `domain` is of use for those only that have none yet.
pub(crate) async fn take(
    database: &PgPool,
    lease: Lease,
    now: DateTime<Utc>,
    domain: &str,
    limit: i64,
) -> Result<Vec<Claimed>, sqlx::Error> {
    sqlx::query_as!(
        Claimed,
        r#"
        WITH abandoned AS (
            SELECT id, attempts, handing_over FROM email.message
            WHERE status = 'sending' AND lease_until < now() AND (expires_at IS NULL OR expires_at > $3)
            ORDER BY lease_until
            LIMIT $4
            FOR UPDATE SKIP LOCKED
        ), urgent AS (
            SELECT id FROM email.message
            WHERE status = 'queued' AND next_attempt_at <= $3 AND expires_at > $3
            ORDER BY next_attempt_at
            LIMIT $4 - (SELECT count(*) FROM abandoned)
            FOR UPDATE SKIP LOCKED
        ), due AS (
            SELECT id FROM email.message
            WHERE status = 'queued' AND next_attempt_at <= $3 AND expires_at IS NULL
            ORDER BY next_attempt_at
            LIMIT $4 - (SELECT count(*) FROM abandoned) - (SELECT count(*) FROM urgent)
            FOR UPDATE SKIP LOCKED
        ), lost AS (
            INSERT INTO email.attempt (message_id, number, at, outcome)
            SELECT id, attempts, $3, CASE WHEN handing_over THEN 'unclear' ELSE 'lost' END FROM abandoned
            ON CONFLICT DO NOTHING
        )
        UPDATE email.message
        SET possibly_duplicate = possibly_duplicate OR status = 'sending' AND handing_over,
            unclear = unclear + CASE WHEN status = 'sending' AND handing_over THEN 1 ELSE 0 END,
            handing_over = false,
            status = 'sending',
            attempts = attempts + 1,
            claim = $1,
            lease_until = now() + make_interval(secs => $2),
            mail_id = coalesce(mail_id, '<' || id::text || '@' || $5::text || '>')
        WHERE id IN (SELECT id FROM abandoned UNION ALL SELECT id FROM urgent UNION ALL SELECT id FROM due)
        RETURNING id, template, recipient, account_id, language, variables, attempts, created_at, unclear,
            mail_id AS "mail_id!",
            EXISTS (SELECT FROM email.suppression WHERE address = lower(recipient)) AS "is_suppressed!"
        "#,
        lease.claim,
        lease.length.as_secs_f64(),
        now,
        limit,
        domain,
    )
    .fetch_all(database)
    .await
}

/// Keeps a message for another length of the lease. Says whether it was still this sender's.
pub(crate) async fn renew(database: &PgPool, id: Uuid, lease: Lease) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        UPDATE email.message SET lease_until = now() + make_interval(secs => $3)
        WHERE id = $1 AND claim = $2
        "#,
        id,
        lease.claim,
        lease.length.as_secs_f64(),
    )
    .execute(database)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The same at the moment from which on the mail may be out.
pub(crate) async fn begin_handing_over(database: &PgPool, id: Uuid, lease: Lease) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        UPDATE email.message SET handing_over = true, lease_until = now() + make_interval(secs => $3)
        WHERE id = $1 AND claim = $2
        "#,
        id,
        lease.claim,
        lease.length.as_secs_f64(),
    )
    .execute(database)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends up to `limit` messages whose code has expired, and says which. One that is being sent is left to its sender, unless that
/// one died.
pub(crate) async fn expire(database: &PgPool, now: DateTime<Utc>, limit: i64) -> Result<Vec<Uuid>, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let ended = sqlx::query_scalar!(
        r#"
        WITH over AS (
            SELECT id, status, attempts, handing_over FROM email.message
            WHERE expires_at <= $1 AND (status = 'queued' OR status = 'sending' AND lease_until < now())
            ORDER BY expires_at
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        ), lost AS (
            INSERT INTO email.attempt (message_id, number, at, outcome)
            SELECT id, attempts, $1, CASE WHEN handing_over THEN 'unclear' ELSE 'lost' END FROM over WHERE status = 'sending'
            ON CONFLICT DO NOTHING
        )
        UPDATE email.message
        SET status = 'expired', claim = NULL, lease_until = NULL, variables = '{}'
        WHERE id IN (SELECT id FROM over)
        RETURNING id
        "#,
        now,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?;
    erase::if_deleted(&mut transaction, &ended).await?;
    transaction.commit().await?;
    Ok(ended)
}
