//! Transactions, one or a page of them.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{ListTransactionsRequest, ListTransactionsResponse, Transaction};

const STATUSES: [&str; 3] = ["active", "completed", "refused"];

#[derive(Debug)]
pub struct Page {
    identity: Option<String>,
    status: Option<&'static str>,
    size: PageSize,
    /// The last id seen.
    before: Option<i32>,
}

impl TryFrom<ListTransactionsRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListTransactionsRequest) -> Result<Self, Self::Error> {
        let status = match request.status.as_deref() {
            None => Ok(None),
            Some(told) => STATUSES
                .into_iter()
                .find(|known| *known == told)
                .map(Some)
                .ok_or_else(|| FieldViolation::new("status", "must be active, completed or refused")),
        };
        match (status, page::parse(request.page_size, &request.page_token)) {
            (Ok(status), Ok((size, before))) => Ok(Self {
                identity: request.identity,
                status,
                size,
                before,
            }),
            (status, page) => Err(status
                .err()
                .into_iter()
                .chain(page.err().into_iter().flatten())
                .collect()),
        }
    }
}

#[derive(Debug, Error)]
pub enum GetError {
    #[error("there is no such transaction")]
    NotFound,
    #[error("the transaction could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => Reason::NotFound.status("There is no transaction of this id"),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

#[derive(Debug, Error)]
#[error("the transactions could not be read")]
pub struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

struct Row {
    id: i32,
    identity: String,
    connector_id: i32,
    id_token: String,
    status: String,
    meter_start_wh: Option<i64>,
    meter_stop_wh: Option<i64>,
    energy_wh: Option<i32>,
    started_at: Option<DateTime<Utc>>,
    stopped_at: Option<DateTime<Utc>>,
    start_received_at: DateTime<Utc>,
    stop_received_at: Option<DateTime<Utc>>,
    stop_reason: Option<String>,
}

/// One text for every look-up, so that each can have the condition that its index serves. Energy is whole watt-hours,
/// rounded down; more than fit into the API's 32 bits are left out, not wrapped.
macro_rules! select {
    ($condition:tt $(, $argument:expr)+) => {
        sqlx::query_as!(
            Row,
            r#"SELECT transaction.id, identity, connector_id, id_token, status, meter_start_wh, meter_stop_wh,
                   CASE WHEN energy_wh < 2147483648 THEN floor(energy_wh)::integer END AS energy_wh,
                   started_at, stopped_at, start_received_at, stop_received_at, stop_reason
               FROM ocpp.transaction JOIN ocpp.charge_point ON charge_point.id = charge_point_id "# + $condition
            $(, $argument)+
        )
    };
}

/// Newest first.
pub async fn list(database: &PgPool, page: Page) -> Result<ListTransactionsResponse, ListError> {
    let mut connection = database::begin(database).await?;
    let before = page.before.unwrap_or(i32::MAX);
    let limit = page.size.limit();
    let mut rows = match (page.identity, page.status) {
        (None, None) => {
            select!(
                "WHERE transaction.id < $1 ORDER BY transaction.id DESC LIMIT $2",
                before,
                limit
            )
            .fetch_all(&mut *connection)
            .await?
        }
        (None, Some(status)) => {
            select!(
                "WHERE transaction.id < $1 AND status = $3 ORDER BY transaction.id DESC LIMIT $2",
                before,
                limit,
                status
            )
            .fetch_all(&mut *connection)
            .await?
        }
        (Some(identity), None) => {
            select!(
                "WHERE transaction.id < $1
                   AND charge_point_id = (SELECT id FROM ocpp.charge_point WHERE identity = $3)
                 ORDER BY transaction.id DESC LIMIT $2",
                before,
                limit,
                identity
            )
            .fetch_all(&mut *connection)
            .await?
        }
        (Some(identity), Some(status)) => {
            select!(
                "WHERE transaction.id < $1 AND status = $4
                   AND charge_point_id = (SELECT id FROM ocpp.charge_point WHERE identity = $3)
                 ORDER BY transaction.id DESC LIMIT $2",
                before,
                limit,
                identity,
                status
            )
            .fetch_all(&mut *connection)
            .await?
        }
    };
    let next_page_token = page.size.cut(&mut rows, |row| row.id);
    Ok(ListTransactionsResponse {
        transactions: rows.into_iter().map(Transaction::from).collect(),
        next_page_token,
    })
}

pub async fn get(connection: &mut PgConnection, id: i32) -> Result<Transaction, GetError> {
    let row = select!("WHERE transaction.id = $1", id)
        .fetch_optional(connection)
        .await?;
    row.map(Transaction::from).ok_or(GetError::NotFound)
}

impl From<Row> for Transaction {
    fn from(row: Row) -> Self {
        let fitting = |wh: Option<i64>| wh.and_then(|wh| i32::try_from(wh).ok());
        Self {
            id: row.id,
            identity: row.identity,
            connector_id: row.connector_id,
            id_token: row.id_token,
            status: row.status,
            meter_start_wh: fitting(row.meter_start_wh),
            meter_stop_wh: fitting(row.meter_stop_wh),
            energy_wh: row.energy_wh,
            started_at: row.started_at.map(timestamp),
            stopped_at: row.stopped_at.map(timestamp),
            start_received_at: Some(timestamp(row.start_received_at)),
            stop_received_at: row.stop_received_at.map(timestamp),
            stop_reason: row.stop_reason,
        }
    }
}
