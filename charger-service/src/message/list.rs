//! Exchanges of one charge point, a page at a time.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ListMessagesRequest, ListMessagesResponse, Message};

use super::record::Origin;
use crate::charge_point::find::{FindError, find};

/// Which exchanges, and how many.
#[derive(Debug)]
pub struct Page {
    identity: String,
    filter: Filter,
    size: PageSize,
    /// Time and id of the last exchange seen.
    before: Option<(DateTime<Utc>, Uuid)>,
}

/// An exchange is shown where all of it holds.
#[derive(Debug)]
struct Filter {
    action: Option<String>,
    origin: Option<Origin>,
    message_id: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    with_violations: bool,
    with_errors: bool,
}

impl TryFrom<ListMessagesRequest> for Page {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ListMessagesRequest) -> Result<Self, Self::Error> {
        let (page, mut violations) = match page::parse(request.page_size, &request.page_token) {
            Ok(page) => (Some(page), Vec::new()),
            Err(violations) => (None, violations),
        };
        let origin = request.origin.as_deref().and_then(|origin| {
            let parsed = Origin::parse(origin);
            if parsed.is_none() {
                violations.push(FieldViolation::new("origin", "must be station or csms"));
            }
            parsed
        });
        let since = page::time("since", request.since, &mut violations);
        let until = page::time("until", request.until, &mut violations);
        match page {
            Some((size, before)) if violations.is_empty() => Ok(Self {
                identity: request.identity,
                filter: Filter {
                    action: request.action,
                    origin,
                    message_id: request.message_id,
                    since,
                    until,
                    with_violations: request.with_violations,
                    with_errors: request.with_errors,
                },
                size,
                before,
            }),
            _ => Err(violations),
        }
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

/// One text for all look-ups, so that each can begin with the condition that its index serves.
macro_rules! select {
    ($condition:tt, $charge_point:expr, $page:expr) => {{
        let (before, before_id) = $page.before.map_or((None, Uuid::max()), |(at, id)| (Some(at), id));
        let filter = &$page.filter;
        sqlx::query_as!(
            Row,
            "SELECT id, origin, message_id, action, request, response, error_code, violations, requested_at, responded_at
             FROM ocpp.message
             WHERE charge_point_id = $1 AND (requested_at, id) < (coalesce($2, 'infinity'::timestamptz), $3)" + $condition +
            "  AND requested_at >= coalesce($5, '-infinity'::timestamptz) AND requested_at < coalesce($6, 'infinity'::timestamptz)
               AND ($7::text IS NULL OR action = $7) AND ($8::text IS NULL OR origin = $8)
               AND ($9::text IS NULL OR message_id = $9) AND (NOT $10 OR violations <> '{}')
               AND (NOT $11 OR error_code IS NOT NULL)
             ORDER BY requested_at DESC, id DESC LIMIT $4",
            $charge_point,
            before,
            before_id,
            $page.size.limit(),
            filter.since,
            filter.until,
            filter.action,
            filter.origin.map(Origin::as_str),
            filter.message_id,
            filter.with_violations,
            filter.with_errors,
        )
    }};
}

/// Newest first.
pub async fn list(database: &PgPool, page: Page) -> Result<ListMessagesResponse, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, &page.identity).await?;
    let mut rows = read(&mut connection, charge_point, &page).await?;
    let next_page_token = page.size.cut(&mut rows, |row| (row.requested_at, row.id));
    Ok(ListMessagesResponse {
        messages: rows.into_iter().map(Message::from).collect(),
        next_page_token,
    })
}

/// By the index of the rarest thing that is asked for.
async fn read(connection: &mut PgConnection, charge_point: Uuid, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    let filter = &page.filter;
    if filter.message_id.is_some() {
        select!(" AND message_id = $9 ", charge_point, page)
            .fetch_all(connection)
            .await
    } else if filter.with_errors {
        select!(" AND error_code IS NOT NULL ", charge_point, page)
            .fetch_all(connection)
            .await
    } else if filter.with_violations {
        select!(" AND violations <> '{}' ", charge_point, page)
            .fetch_all(connection)
            .await
    } else if filter.action.is_some() {
        select!(" AND action = $7 ", charge_point, page)
            .fetch_all(connection)
            .await
    } else if matches!(filter.origin, Some(Origin::Csms)) {
        select!(" AND origin = 'csms' ", charge_point, page)
            .fetch_all(connection)
            .await
    } else {
        select!(" ", charge_point, page).fetch_all(connection).await
    }
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
