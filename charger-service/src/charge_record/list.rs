//! Records of charges, one or a page of them.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ChargeRecord, ListChargeRecordsRequest, ListChargeRecordsResponse};

use super::Row;
use crate::charge_point::find::{FindError, find};
use crate::cost::Cost;
use crate::tariff::terms::Terms;

#[derive(Debug)]
pub struct Page {
    identity: Option<String>,
    transaction_id: Option<i32>,
    /// Not earlier.
    after: Option<DateTime<Utc>>,
    /// Earlier than this.
    before: Option<DateTime<Utc>>,
    size: PageSize,
    /// When the last one seen was written, in microseconds since 1970, and its id.
    seen: Option<(i64, Uuid)>,
}

impl TryFrom<ListChargeRecordsRequest> for Page {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ListChargeRecordsRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let after = page::time("createdAfter", request.created_after, &mut violations);
        let before = page::time("createdBefore", request.created_before, &mut violations);
        match page::parse(request.page_size, &request.page_token) {
            Ok((size, seen)) if violations.is_empty() => Ok(Self {
                identity: request.identity,
                transaction_id: request.transaction_id,
                after,
                before,
                size,
                seen,
            }),
            page => {
                violations.extend(page.err().into_iter().flatten());
                Err(violations)
            }
        }
    }
}

impl Page {
    /// The time and the id that records have to be before. In one, so that an index is entered just there.
    fn end(&self) -> (Option<DateTime<Utc>>, Uuid) {
        let seen = self
            .seen
            .and_then(|(micros, id)| Some((DateTime::from_timestamp_micros(micros)?, id)));
        let end = self.before.map(|end| (end, Uuid::nil()));
        match seen.into_iter().chain(end).min() {
            Some((at, id)) => (Some(at), id),
            None => (None, Uuid::max()),
        }
    }
}

#[derive(Debug, Error)]
pub enum GetError {
    #[error("there is no such record")]
    NotFound,
    #[error("the record could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => Reason::NotFound.status("There is no charge record of this id"),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

#[derive(Debug, Error)]
#[error("the charge records could not be read")]
pub struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

/// One text for all look-ups.
macro_rules! select {
    ($condition:tt $(, $argument:expr)+) => {
        sqlx::query_as!(
            Row,
            r#"SELECT id, transaction_id, number, identity, connector_id, started_at, stopped_at, energy_wh::text, time_zone,
                   tariff_id, tariff_version, tariff_name, terms AS "terms: Json<Terms>", cost AS "cost: Json<Cost>",
                   signed_values, created_at
               FROM ocpp.charge_record "# + $condition
            $(, $argument)+
        )
    };
}

/// Newest first.
pub async fn list(database: &PgPool, page: Page) -> Result<ListChargeRecordsResponse, ListError> {
    let mut connection = database::begin(database).await?;
    let charge_point = match &page.identity {
        None => None,
        Some(identity) => match find(&mut connection, identity).await {
            Ok(charge_point) => Some(charge_point),
            // It has none.
            Err(FindError::Unknown) => return Ok(ListChargeRecordsResponse::default()),
            Err(FindError::Database(error)) => return Err(error.into()),
        },
    };
    database::plan_for_values(&mut connection).await?;
    let (before, before_id) = page.end();
    let mut rows = select!(
        "WHERE (created_at, id) < (coalesce($1, 'infinity'::timestamptz), $2)
           AND ($3::uuid IS NULL OR charge_point_id = $3)
           AND ($4::integer IS NULL OR transaction_id = $4)
           AND ($5::timestamptz IS NULL OR created_at >= $5)
         ORDER BY created_at DESC, id DESC LIMIT $6",
        before,
        before_id,
        charge_point,
        page.transaction_id,
        page.after,
        page.size.limit()
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page
        .size
        .cut(&mut rows, |row| (row.created_at.timestamp_micros(), row.id));
    Ok(ListChargeRecordsResponse {
        charge_records: rows.into_iter().map(ChargeRecord::from).collect(),
        next_page_token,
    })
}

pub async fn get(database: &PgPool, id: &str) -> Result<ChargeRecord, GetError> {
    // What is no UUID is no record's.
    let id = Uuid::try_parse(id).map_err(|_| GetError::NotFound)?;
    let mut connection = database::begin(database).await?;
    let row = select!("WHERE id = $1", id).fetch_optional(&mut *connection).await?;
    row.map(ChargeRecord::from).ok_or(GetError::NotFound)
}

/// The one of a transaction that counts.
pub async fn latest(connection: &mut PgConnection, transaction_id: i32) -> Result<Option<Row>, sqlx::Error> {
    select!("WHERE transaction_id = $1 ORDER BY number DESC LIMIT 1", transaction_id)
        .fetch_optional(connection)
        .await
}
