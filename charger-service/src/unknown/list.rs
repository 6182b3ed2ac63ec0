//! Unknown charge points, newest first, a page at a time.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{ListUnknownChargePointsRequest, ListUnknownChargePointsResponse, UnknownChargePoint};

#[derive(Debug)]
pub struct Page {
    size: PageSize,
    /// Time and identity of the last one seen.
    before: Option<(DateTime<Utc>, String)>,
}

impl TryFrom<ListUnknownChargePointsRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListUnknownChargePointsRequest) -> Result<Self, Self::Error> {
        let (size, before) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self { size, before })
    }
}

#[derive(Debug, Error)]
#[error("the unknown charge points could not be read")]
pub struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

struct Row {
    identity: String,
    first_seen_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    attempts: i64,
    peer: Option<String>,
    subprotocols: String,
}

pub async fn list(database: &PgPool, page: Page) -> Result<ListUnknownChargePointsResponse, ListError> {
    let mut connection = database::begin(database).await?;
    let (before, before_identity) = page.before.unzip();
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT identity, first_seen_at, last_seen_at, attempts, peer, subprotocols
           FROM ocpp.unknown_charge_point
           WHERE (last_seen_at, identity) < (coalesce($1, 'infinity'::timestamptz), coalesce($2, '') COLLATE "C")
           ORDER BY last_seen_at DESC, identity DESC LIMIT $3"#,
        before,
        before_identity,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| (row.last_seen_at, row.identity.clone()));
    Ok(ListUnknownChargePointsResponse {
        unknown_charge_points: rows.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

impl From<Row> for UnknownChargePoint {
    fn from(row: Row) -> Self {
        Self {
            identity: row.identity,
            first_seen_at: Some(timestamp(row.first_seen_at)),
            last_seen_at: Some(timestamp(row.last_seen_at)),
            attempts: i32::try_from(row.attempts).unwrap_or(i32::MAX),
            peer: row.peer,
            subprotocols: row
                .subprotocols
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }
}
