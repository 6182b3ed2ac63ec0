//! The statements by which a courier takes deliveries and settles them. They are held by a lease, as messages are.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

/// A delivery in the hands of this courier.
pub(super) struct Claimed {
    pub id: Uuid,
    pub webhook_id: Uuid,
    pub event_id: Uuid,
    pub url: String,
    /// Sealed.
    pub signing_secret: Vec<u8>,
    pub body: String,
    /// This one included.
    pub attempts: i32,
    pub first_due_at: DateTime<Utc>,
}

/// Longer than an attempt may take, so that it need not be renewed.
const LEASE: Duration = Duration::from_secs(60);

/// Takes up to `limit` deliveries that are due, or whose courier died, of each webhook up to `of_each`; none of those that are `busy`
/// here. One that is slow so takes nothing from the others.
pub(super) async fn take(
    database: &PgPool,
    claim: Uuid,
    now: DateTime<Utc>,
    (limit, of_each): (i64, i64),
    busy: &[Uuid],
) -> Result<Vec<Claimed>, sqlx::Error> {
    sqlx::query_as!(
        Claimed,
        r#"
        WITH abandoned AS (
            SELECT id FROM email.webhook_delivery
            WHERE status = 'sending' AND lease_until < now()
            ORDER BY lease_until
            LIMIT $4
            FOR UPDATE SKIP LOCKED
        ), due AS (
            SELECT due.id
            FROM email.webhook
            CROSS JOIN LATERAL (
                SELECT id FROM email.webhook_delivery
                WHERE webhook_id = webhook.id AND status = 'queued' AND next_attempt_at <= $3
                ORDER BY next_attempt_at
                LIMIT $5
                FOR UPDATE SKIP LOCKED
            ) AS due
            WHERE webhook.disabled IS NULL AND webhook.id <> ALL($6)
            LIMIT $4 - (SELECT count(*) FROM abandoned)
        )
        UPDATE email.webhook_delivery AS delivery
        SET status = 'sending', attempts = attempts + 1, claim = $1, lease_until = now() + make_interval(secs => $2)
        FROM email.webhook
        WHERE delivery.id IN (SELECT id FROM abandoned UNION ALL SELECT id FROM due) AND webhook.id = webhook_id
        RETURNING delivery.id, webhook_id, event_id, url, signing_secret, coalesce(body, '') AS "body!", attempts, first_due_at
        "#,
        claim,
        LEASE.as_secs_f64(),
        now,
        limit,
        of_each,
        busy,
    )
    .fetch_all(database)
    .await
}

/// What was taken is kept no longer than that it was there.
pub(super) async fn mark_delivered(database: &PgPool, id: Uuid, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE email.webhook_delivery
         SET status = 'delivered', delivered_at = $2, claim = NULL, lease_until = NULL, last_error = NULL, body = NULL
         WHERE id = $1 AND status <> 'delivered'",
        id,
        now,
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Puts it back until `next`, or gives it up where there is none.
pub(super) async fn mark_failed(
    database: &PgPool,
    id: Uuid,
    claim: Uuid,
    next: Option<DateTime<Utc>>,
    error: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE email.webhook_delivery
         SET status = CASE WHEN $3::timestamptz IS NULL THEN 'failed' ELSE 'queued' END,
             next_attempt_at = coalesce($3, next_attempt_at), claim = NULL, lease_until = NULL, last_error = $4,
             body = CASE WHEN $3::timestamptz IS NULL AND account_id IN (SELECT id FROM email.deleted_account) THEN NULL ELSE body END
         WHERE id = $1 AND claim = $2",
        id,
        claim,
        next,
        error,
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Nothing is sent there any more, until somebody subscribes it anew. Says whether that is news.
pub(super) async fn disable(
    database: &PgPool,
    webhook: Uuid,
    why: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE email.webhook SET disabled = $2, updated_at = $3, revision = revision + 1 WHERE id = $1 AND disabled IS NULL",
        webhook,
        why,
        now,
    )
    .execute(database)
    .await?;
    Ok(done.rows_affected() == 1)
}
