//! What a webhook was told, newest first, a page at a time; what was given up is tried again at an administrator's wish; and what is old
//! goes.

use chrono::{DateTime, Utc};
use metrics::counter;
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use voltgate_proto::email::v1::{Delivery, ListDeliveriesRequest, ListDeliveriesResponse};

use super::{CHANNEL, WebhookError, take};
use crate::audit::{self, Action, Author, Entry};
use crate::{State, retry};

/// Rows deleted, or given up, by one statement.
const AT_ONCE: i64 = 1000;

const STATES: [&str; 4] = ["queued", "sending", "delivered", "failed"];

#[derive(Debug)]
pub(crate) struct Page {
    name: String,
    status: Option<String>,
    size: PageSize,
    /// The last id seen.
    before: Option<Uuid>,
}

impl TryFrom<ListDeliveriesRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListDeliveriesRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let page = page::parse(request.page_size, &request.page_token).map_err(|problems| violations.extend(problems));
        if request
            .status
            .as_deref()
            .is_some_and(|status| !STATES.contains(&status))
        {
            let problem = format!("must be one of {}", STATES.join(", "));
            violations.push(FieldViolation::new("status", problem));
        }
        match page {
            Ok((size, before)) if violations.is_empty() => Ok(Self {
                name: request.name,
                status: request.status,
                size,
                before,
            }),
            _ => Err(violations),
        }
    }
}

struct Row {
    id: Uuid,
    event_id: Uuid,
    kind: String,
    status: String,
    attempts: i32,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    next_attempt_at: DateTime<Utc>,
    delivered_at: Option<DateTime<Utc>>,
}

impl From<Row> for Delivery {
    fn from(row: Row) -> Self {
        let waits = row.status == "queued";
        Self {
            id: row.id.to_string(),
            event_id: row.event_id.to_string(),
            r#type: row.kind,
            status: row.status,
            attempts: row.attempts,
            last_error: row.last_error,
            created_at: Some(timestamp(row.created_at)),
            next_attempt_at: waits.then(|| timestamp(row.next_attempt_at)),
            delivered_at: row.delivered_at.map(timestamp),
        }
    }
}

async fn find(connection: &mut PgConnection, name: &str) -> Result<Uuid, WebhookError> {
    sqlx::query_scalar!(
        "SELECT id FROM email.webhook WHERE name = $1 AND deleted_at IS NULL",
        name
    )
    .fetch_optional(connection)
    .await?
    .ok_or(WebhookError::NotFound)
}

pub(crate) async fn list(database: &PgPool, page: Page) -> Result<ListDeliveriesResponse, WebhookError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let webhook = find(&mut connection, &page.name).await?;
    let mut rows = sqlx::query_as!(
        Row,
        "SELECT id, event_id, type AS kind, status, attempts, last_error, created_at, next_attempt_at, delivered_at
         FROM email.webhook_delivery
         WHERE webhook_id = $1 AND id < $2 AND ($3::text IS NULL OR status = $3)
         ORDER BY id DESC LIMIT $4",
        webhook,
        page.before.unwrap_or(Uuid::max()),
        page.status,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.id);
    Ok(ListDeliveriesResponse {
        deliveries: rows.into_iter().map(Delivery::from).collect(),
        next_page_token,
    })
}

/// For another day, from now on.
pub(crate) async fn retry(state: &State, name: &str, id: Uuid, author: &Author) -> Result<Delivery, WebhookError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let webhook = find(&mut transaction, name).await?;
    let known = sqlx::query!(
        r#"SELECT status, body IS NOT NULL AS "has_body!" FROM email.webhook_delivery
           WHERE id = $1 AND webhook_id = $2 FOR UPDATE"#,
        id,
        webhook,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(WebhookError::NoDelivery)?;
    match (known.status.as_str(), known.has_body) {
        ("failed", true) => {}
        ("failed", false) => return Err(WebhookError::NotFailed("The account that it tells of is deleted")),
        _ => return Err(WebhookError::NotFailed("The delivery was not given up")),
    }
    let row = sqlx::query_as!(
        Row,
        "UPDATE email.webhook_delivery SET status = 'queued', attempts = 0, next_attempt_at = $2, first_due_at = $2
         WHERE id = $1
         RETURNING id, event_id, type AS kind, status, attempts, last_error, created_at, next_attempt_at, delivered_at",
        id,
        now,
    )
    .fetch_one(&mut *transaction)
    .await?;
    sqlx::query!("SELECT pg_notify($1, '')", CHANNEL)
        .fetch_one(&mut *transaction)
        .await?;
    let entry = Entry::new(Action::DeliveryRetried, now, author).on(name);
    audit::record(&mut transaction, entry.with("delivery", Some(id.to_string()))).await?;
    transaction.commit().await?;
    Ok(row.into())
}

/// Gives up what has waited for so long that it would be given up after its next attempt.
pub(crate) async fn give_up(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let since = retry::end_of_patience(now);
    loop {
        let given_up = take::give_up(database, since, AT_ONCE).await?;
        counter!("voltgate_webhook_deliveries_total", "outcome" => "failed").increment(given_up);
        if i64::try_from(given_up).is_ok_and(|given_up| given_up < AT_ONCE) {
            return Ok(());
        }
    }
}

/// Deletes what has come to its end and is older than it is kept.
pub(crate) async fn prune(database: &PgPool, before: DateTime<Utc>) -> Result<(), sqlx::Error> {
    loop {
        let done = sqlx::query!(
            "DELETE FROM email.webhook_delivery WHERE id IN (
                 SELECT id FROM email.webhook_delivery
                 WHERE created_at < $1 AND (status IN ('delivered', 'failed')
                     OR webhook_id IN (SELECT id FROM email.webhook WHERE disabled IS NOT NULL))
                 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            before,
            AT_ONCE,
        )
        .execute(database)
        .await?;
        if i64::try_from(done.rows_affected()).is_ok_and(|deliveries| deliveries < AT_ONCE) {
            return Ok(());
        }
    }
}
