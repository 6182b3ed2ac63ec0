//! The history of one connector, newest first, a page at a time.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use voltgate_proto::ocpp::v1::{ConnectorStatus, ListConnectorHistoryRequest, ListConnectorHistoryResponse};

use super::find::{FindError, find};

#[derive(Debug)]
pub struct Page {
    identity: String,
    connector_id: i32,
    size: PageSize,
    /// When the last one seen came in, in microseconds since 1970, and its id.
    seen: Option<(i64, i64)>,
}

impl TryFrom<ListConnectorHistoryRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListConnectorHistoryRequest) -> Result<Self, Self::Error> {
        let (size, seen) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            identity: request.identity,
            connector_id: request.connector_id,
            size,
            seen,
        })
    }
}

struct Row {
    id: i64,
    status: String,
    error_code: String,
    info: Option<String>,
    vendor_id: Option<String>,
    vendor_error_code: Option<String>,
    status_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
}

/// In the order of arrival. A connector that nobody has told of has no history.
pub async fn list(database: &PgPool, page: Page) -> Result<ListConnectorHistoryResponse, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, &page.identity).await?;
    let seen = page
        .seen
        .and_then(|(micros, id)| Some((DateTime::from_timestamp_micros(micros)?, id)));
    let (before, before_id) = seen.unzip();
    let mut rows = sqlx::query_as!(
        Row,
        "SELECT id, status, error_code, info, vendor_id, vendor_error_code, status_at, received_at
         FROM ocpp.connector_status
         WHERE charge_point_id = $1 AND connector_id = $2
           AND (received_at, id) < (coalesce($3, 'infinity'::timestamptz), coalesce($4, 9223372036854775807))
         ORDER BY received_at DESC, id DESC LIMIT $5",
        charge_point,
        page.connector_id,
        before,
        before_id,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page
        .size
        .cut(&mut rows, |row| (row.received_at.timestamp_micros(), row.id));
    Ok(ListConnectorHistoryResponse {
        statuses: rows.into_iter().map(ConnectorStatus::from).collect(),
        next_page_token,
    })
}

impl From<Row> for ConnectorStatus {
    fn from(row: Row) -> Self {
        Self {
            status: row.status,
            error_code: row.error_code,
            info: row.info,
            vendor_id: row.vendor_id,
            vendor_error_code: row.vendor_error_code,
            status_at: Some(timestamp(row.status_at)),
            received_at: Some(timestamp(row.received_at)),
        }
    }
}
