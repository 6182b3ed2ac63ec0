//! The sampled values of one transaction.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::PgPool;
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{ListMeterValuesRequest, ListMeterValuesResponse, MeterValue};

#[derive(Debug)]
pub struct Page {
    transaction_id: i32,
    measurand: Option<String>,
    size: PageSize,
    /// Time and id of the last value seen.
    after: Option<(DateTime<Utc>, i64)>,
}

impl TryFrom<ListMeterValuesRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListMeterValuesRequest) -> Result<Self, Self::Error> {
        let (size, after) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            transaction_id: request.id,
            measurand: request.measurand,
            size,
            after,
        })
    }
}

#[derive(Debug, Error)]
pub enum ListError {
    #[error("there is no such transaction")]
    NotFound,
    #[error("the meter values could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<ListError> for Status {
    fn from(error: ListError) -> Self {
        match error {
            ListError::NotFound => Reason::NotFound.status("There is no transaction of this id"),
            ListError::Database(error) => database::failed(&error),
        }
    }
}

struct Row {
    id: i64,
    connector_id: Option<i32>,
    sampled_at: DateTime<Utc>,
    value: String,
    measurand: String,
    unit: Option<String>,
    context: String,
    format: String,
    location: String,
    phase: Option<String>,
    normalized_value: Option<String>,
    normalized_unit: Option<String>,
}

/// Oldest first.
pub async fn list(database: &PgPool, page: Page) -> Result<ListMeterValuesResponse, ListError> {
    let mut connection = database::begin(database).await?;
    let (after, after_id) = page.after.map_or((None, 0), |(at, id)| (Some(at), id));
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT id, connector_id, sampled_at, value, measurand, unit, context, format, location, phase,
               trim_scale(normalized_value)::text AS normalized_value, normalized_unit
           FROM ocpp.meter_value
           WHERE transaction_id = $1 AND (sampled_at, id) > (coalesce($2, '-infinity'::timestamptz), $3) AND ($4::text IS NULL OR measurand = $4)
           ORDER BY sampled_at, id LIMIT $5"#,
        page.transaction_id,
        after,
        after_id,
        page.measurand,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    if rows.is_empty() {
        super::list::get(&mut connection, page.transaction_id).await?;
    }
    let next_page_token = page.size.cut(&mut rows, |row| (row.sampled_at, row.id));
    Ok(ListMeterValuesResponse {
        meter_values: rows.into_iter().map(MeterValue::from).collect(),
        next_page_token,
    })
}

impl From<super::list::GetError> for ListError {
    fn from(error: super::list::GetError) -> Self {
        match error {
            super::list::GetError::NotFound => Self::NotFound,
            super::list::GetError::Database(error) => Self::Database(error),
        }
    }
}

impl From<Row> for MeterValue {
    fn from(row: Row) -> Self {
        Self {
            sampled_at: Some(timestamp(row.sampled_at)),
            connector_id: row.connector_id.unwrap_or_default(),
            value: row.value,
            measurand: row.measurand,
            unit: row.unit.unwrap_or_default(),
            context: row.context,
            format: row.format,
            location: row.location,
            phase: row.phase,
            normalized_value: row.normalized_value,
            normalized_unit: row.normalized_unit,
        }
    }
}
