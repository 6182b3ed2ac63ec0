//! Queues an event for everybody who wants it, in the transaction that takes the event in.

use chrono::{DateTime, Utc};
use service_kit::event::Event;
use sqlx::PgConnection;
use uuid::Uuid;

use super::payload::Payload;
use super::{CHANNEL, event_types};

/// Nothing is queued for one that is disabled: it said itself that it is gone.
pub(crate) async fn fan_out(
    connection: &mut PgConnection,
    id: Uuid,
    event: &Event,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    // What expires holds a secret, whatever it is.
    if event.expires_at.is_some() || !event_types::is_one(&event.r#type) {
        return Ok(());
    }
    let wanted_by = sqlx::query_scalar!(
        "SELECT id FROM email.webhook WHERE (types = '{}' OR $1 = ANY(types)) AND disabled IS NULL AND deleted_at IS NULL FOR SHARE",
        event.r#type,
    )
    .fetch_all(&mut *connection)
    .await?;
    if wanted_by.is_empty() {
        return Ok(());
    }
    let Some(payload) = Payload::of(event) else {
        return Ok(());
    };
    let deliveries: Vec<_> = wanted_by.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query!(
        "INSERT INTO email.webhook_delivery (id, webhook_id, event_id, type, account_id, body, next_attempt_at, created_at,
             first_due_at)
         SELECT delivery, webhook, $3, $4, $5, $6, $7, $7, $7 FROM unnest($1::uuid[], $2::uuid[]) AS new (delivery, webhook)
         ON CONFLICT (webhook_id, event_id) DO NOTHING",
        &deliveries,
        &wanted_by,
        id,
        event.r#type,
        payload.account,
        payload.body,
        now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("SELECT pg_notify($1, '')", CHANNEL)
        .fetch_one(connection)
        .await?;
    Ok(())
}
