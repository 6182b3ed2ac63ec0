//! The statements by which a courier takes deliveries and settles them. They are held by a lease, as messages are.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::erase;

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

/// Calls under way here, by the webhook that is called.
pub(super) type UnderWay = HashMap<Uuid, usize>;

/// Takes deliveries that are due, or whose courier died, of each webhook as many as make `of_each` with those under way here. Each webhook
/// has room of its own, so one that is slow takes nothing from the others, however many there are of either.
pub(super) async fn take(
    database: &PgPool,
    claim: Uuid,
    now: DateTime<Utc>,
    of_each: usize,
    under_way: &UnderWay,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let called: Vec<_> = under_way.keys().copied().collect();
    let calls: Vec<_> = under_way.values().map(|calls| number(*calls)).collect();
    sqlx::query_as!(
        Claimed,
        r#"
        WITH open AS MATERIALIZED (
            SELECT id, greatest($4 - coalesce(calls, 0), 0) AS room
            FROM email.webhook
            LEFT JOIN unnest($5::uuid[], $6::bigint[]) AS under_way (webhook_id, calls) ON webhook_id = id
            WHERE disabled IS NULL AND deleted_at IS NULL
        ), lapsed AS MATERIALIZED (
            SELECT lapsed.id, open.id AS webhook_id
            FROM open
            CROSS JOIN LATERAL (
                SELECT id FROM email.webhook_delivery
                WHERE webhook_id = open.id AND status = 'sending' AND lease_until < now()
                ORDER BY lease_until
                LIMIT open.room
                FOR UPDATE SKIP LOCKED
            ) AS lapsed
        ), due AS MATERIALIZED (
            SELECT due.id
            FROM open
            CROSS JOIN LATERAL (
                SELECT id FROM email.webhook_delivery
                WHERE webhook_id = open.id AND status = 'queued' AND next_attempt_at <= $3
                ORDER BY next_attempt_at
                LIMIT open.room - (SELECT count(*) FROM lapsed WHERE lapsed.webhook_id = open.id)
                FOR UPDATE SKIP LOCKED
            ) AS due
        )
        UPDATE email.webhook_delivery AS delivery
        SET status = 'sending', attempts = attempts + 1, claim = $1, lease_until = now() + make_interval(secs => $2)
        FROM email.webhook
        WHERE delivery.id IN (SELECT id FROM lapsed UNION ALL SELECT id FROM due) AND webhook.id = webhook_id
        RETURNING delivery.id, webhook_id, event_id, url, signing_secret, coalesce(body, '') AS "body!", attempts, first_due_at
        "#,
        claim,
        LEASE.as_secs_f64(),
        now,
        number(of_each),
        &called,
        &calls,
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
    let mut transaction = database.begin().await?;
    sqlx::query!(
        "UPDATE email.webhook_delivery
         SET status = CASE WHEN $3::timestamptz IS NULL THEN 'failed' ELSE 'queued' END,
             next_attempt_at = coalesce($3, next_attempt_at), claim = NULL, lease_until = NULL, last_error = $4
         WHERE id = $1 AND claim = $2",
        id,
        claim,
        next,
        error,
    )
    .execute(&mut *transaction)
    .await?;
    erase::if_deleted(&mut transaction, &[id]).await?;
    transaction.commit().await
}

/// Gives up, at most `limit` at a time, what has waited since before `since`: one that is slow, or away, would else have more waiting for
/// it every day. Says how many there were.
pub(super) async fn give_up(database: &PgPool, since: DateTime<Utc>, limit: i64) -> Result<u64, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let given_up = sqlx::query_scalar!(
        "UPDATE email.webhook_delivery SET status = 'failed', last_error = coalesce(last_error, 'its turn did not come')
         WHERE id IN (
             SELECT id FROM email.webhook_delivery WHERE status = 'queued' AND first_due_at < $1
             ORDER BY first_due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING id",
        since,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?;
    erase::if_deleted(&mut transaction, &given_up).await?;
    transaction.commit().await?;
    Ok(u64::try_from(given_up.len()).unwrap_or(u64::MAX))
}

/// Nothing is sent to `url` any more, until somebody subscribes it anew. Says whether that is news: it is none where the webhook is at
/// another URL by now.
pub(super) async fn disable(
    database: &PgPool,
    webhook: Uuid,
    url: &str,
    why: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let done = sqlx::query!(
        "UPDATE email.webhook SET disabled = $3, updated_at = $4, revision = revision + 1
         WHERE id = $1 AND url = $2 AND disabled IS NULL",
        webhook,
        url,
        why,
        now,
    )
    .execute(&mut *transaction)
    .await?;
    let is_news = done.rows_affected() == 1;
    if is_news {
        erase::waiting_of(&mut transaction, webhook).await?;
    }
    transaction.commit().await?;
    Ok(is_news)
}
