//! Exchanges of one charge point, a page at a time.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ListMessagesRequest, ListMessagesResponse, Message};

use crate::charge_point::find::{FindError, find};

#[derive(Debug)]
pub struct Page {
    identity: String,
    action: Option<String>,
    size: PageSize,
    /// Time and id of the last exchange seen.
    before: Option<(DateTime<Utc>, Uuid)>,
}

impl TryFrom<ListMessagesRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListMessagesRequest) -> Result<Self, Self::Error> {
        let (size, before) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            identity: request.identity,
            action: request.action,
            size,
            before,
        })
    }
}

struct Row {
    id: Uuid,
    origin: String,
    message_id: Option<String>,
    action: Option<String>,
    request: String,
    response: Option<String>,
    error_code: Option<String>,
    violations: Vec<String>,
    requested_at: DateTime<Utc>,
    responded_at: Option<DateTime<Utc>>,
}

/// One text for both look-ups, so that each can have the condition that its index serves.
macro_rules! select {
    ($condition:tt $(, $argument:expr)+) => {
        sqlx::query_as!(
            Row,
            "SELECT id, origin, message_id, action, request, response, error_code, violations, requested_at, responded_at
             FROM ocpp.message
             WHERE charge_point_id = $1 AND (requested_at, id) < (coalesce($2, 'infinity'::timestamptz), $3)" + $condition +
            "ORDER BY requested_at DESC, id DESC LIMIT $4"
            $(, $argument)+
        )
    };
}

/// Newest first.
pub async fn list(database: &PgPool, page: Page) -> Result<ListMessagesResponse, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, &page.identity).await?;
    let (before, before_id) = page.before.map_or((None, Uuid::max()), |(at, id)| (Some(at), id));
    let limit = page.size.limit();
    let mut rows = match page.action {
        None => {
            select!(" ", charge_point, before, before_id, limit)
                .fetch_all(&mut *connection)
                .await?
        }
        Some(action) => {
            select!(" AND action = $5 ", charge_point, before, before_id, limit, action)
                .fetch_all(&mut *connection)
                .await?
        }
    };
    let next_page_token = page.size.cut(&mut rows, |row| (row.requested_at, row.id));
    Ok(ListMessagesResponse {
        messages: rows.into_iter().map(Message::from).collect(),
        next_page_token,
    })
}

impl From<Row> for Message {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            origin: row.origin,
            message_id: row.message_id,
            action: row.action,
            request: row.request,
            response: row.response,
            error_code: row.error_code,
            violations: row.violations,
            requested_at: Some(timestamp(row.requested_at)),
            responded_at: row.responded_at.map(timestamp),
        }
    }
}
