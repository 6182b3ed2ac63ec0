//! Security events, of one charge point or of all, a page at a time.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ListSecurityEventsRequest, ListSecurityEventsResponse, SecurityEvent};

use crate::charge_point::find::{FindError, find};

#[derive(Debug)]
pub struct Page {
    identity: Option<String>,
    kind: Option<String>,
    critical: Option<bool>,
    size: PageSize,
    /// The last id seen.
    before: Option<Uuid>,
}

impl TryFrom<ListSecurityEventsRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListSecurityEventsRequest) -> Result<Self, Self::Error> {
        let (size, before) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            identity: request.identity,
            kind: request.r#type,
            critical: request.critical,
            size,
            before,
        })
    }
}

struct Row {
    id: Uuid,
    identity: String,
    origin: String,
    kind: String,
    critical: bool,
    tech_info: Option<String>,
    occurred_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
}

/// One text for all look-ups, so that each can have the condition that its index serves.
macro_rules! select {
    ($condition:tt, $before:expr, $limit:expr, $critical:expr $(, $argument:expr)*) => {
        sqlx::query_as!(
            Row,
            r#"SELECT security_event.id, identity, origin, type AS kind, critical, tech_info, occurred_at, received_at
               FROM ocpp.security_event JOIN ocpp.charge_point ON charge_point.id = charge_point_id
               WHERE security_event.id < $1 AND ($3::boolean IS NULL OR critical = $3) "# + $condition +
            " ORDER BY security_event.id DESC LIMIT $2",
            $before,
            $limit,
            $critical
            $(, $argument)*
        )
    };
}

/// Newest first: ids are in the order of time.
pub async fn list(database: &PgPool, page: Page) -> Result<ListSecurityEventsResponse, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = match &page.identity {
        Some(identity) => Some(find(&mut connection, identity).await?),
        None => None,
    };
    let (before, limit, critical) = (page.before.unwrap_or(Uuid::max()), page.size.limit(), page.critical);
    let mut rows = match (charge_point, page.kind, critical) {
        (None, None, Some(true)) => {
            select!("AND critical", before, limit, critical)
                .fetch_all(&mut *connection)
                .await?
        }
        (None, None, _) => select!("", before, limit, critical).fetch_all(&mut *connection).await?,
        (None, Some(kind), _) => {
            select!("AND type = $4", before, limit, critical, kind)
                .fetch_all(&mut *connection)
                .await?
        }
        (Some(charge_point), None, _) => {
            select!("AND charge_point_id = $4", before, limit, critical, charge_point)
                .fetch_all(&mut *connection)
                .await?
        }
        (Some(charge_point), Some(kind), _) => {
            select!(
                "AND charge_point_id = $4 AND type = $5",
                before,
                limit,
                critical,
                charge_point,
                kind
            )
            .fetch_all(&mut *connection)
            .await?
        }
    };
    let next_page_token = page.size.cut(&mut rows, |row| row.id);
    Ok(ListSecurityEventsResponse {
        security_events: rows.into_iter().map(SecurityEvent::from).collect(),
        next_page_token,
    })
}

impl From<Row> for SecurityEvent {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            identity: row.identity,
            origin: row.origin,
            r#type: row.kind,
            critical: row.critical,
            tech_info: row.tech_info,
            occurred_at: Some(timestamp(row.occurred_at)),
            received_at: Some(timestamp(row.received_at)),
        }
    }
}
