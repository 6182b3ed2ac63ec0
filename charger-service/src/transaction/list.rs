//! Transactions, one or a page of them.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ListTransactionsRequest, ListTransactionsResponse, Transaction};

use crate::charge_point::find::{FindError, find};

const STATUSES: [&str; 3] = ["active", "completed", "refused"];

/// Which transactions, and how many.
#[derive(Debug)]
pub struct Page {
    identity: Option<String>,
    status: Option<&'static str>,
    id_token: Option<String>,
    connector_id: Option<i32>,
    /// Not earlier, by when the start came in.
    started_after: Option<DateTime<Utc>>,
    /// Earlier than this.
    started_before: Option<DateTime<Utc>>,
    size: PageSize,
    /// When the start of the last transaction seen came in, in microseconds since 1970, and its id.
    seen: Option<(i64, i32)>,
}

impl TryFrom<ListTransactionsRequest> for Page {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ListTransactionsRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let status = status(request.status.as_deref(), &mut violations);
        if request.connector_id.is_some() && request.identity.is_none() {
            let problem = "is a number of one charge point; name its identity, too";
            violations.push(FieldViolation::new("connectorId", problem));
        }
        let started_after = page::time("startedAfter", request.started_after, &mut violations);
        let started_before = page::time("startedBefore", request.started_before, &mut violations);
        match page::parse(request.page_size, &request.page_token) {
            Ok((size, seen)) if violations.is_empty() => Ok(Self {
                identity: request.identity,
                status,
                id_token: request.id_token,
                connector_id: request.connector_id,
                started_after,
                started_before,
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

/// A status to filter by. Notes what is none.
pub fn status(told: Option<&str>, violations: &mut Vec<FieldViolation>) -> Option<&'static str> {
    let status = told.map(|told| STATUSES.into_iter().find(|known| *known == told));
    if status == Some(None) {
        violations.push(FieldViolation::new("status", "must be active, completed or refused"));
    }
    status.flatten()
}

/// The time and the id that transactions have to be before: where the page before ended, or the end of the time that was
/// asked for. In one, so that an index is entered just there.
pub fn before(seen: Option<(i64, i32)>, started_before: Option<DateTime<Utc>>) -> (Option<DateTime<Utc>>, i32) {
    let seen = seen.and_then(|(micros, id)| Some((DateTime::from_timestamp_micros(micros)?, id)));
    let end = started_before.map(|end| (end, i32::MIN));
    match seen.into_iter().chain(end).min() {
        Some((at, id)) => (Some(at), id),
        None => (None, i32::MAX),
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
    closed_by: Option<Uuid>,
    close_reason: Option<String>,
    total_cost: Option<String>,
    currency: Option<String>,
}

/// One text for both look-ups. Energy is whole watt-hours,
/// rounded down; more than fit into the API's 32 bits are left out, not wrapped.
macro_rules! select {
    ($condition:tt $(, $argument:expr)+) => {
        sqlx::query_as!(
            Row,
            r#"SELECT transaction.id, identity, connector_id, id_token, status, meter_start_wh, meter_stop_wh,
                   ocpp.whole(energy_wh) AS energy_wh,
                   started_at, stopped_at, start_received_at, stop_received_at, stop_reason,
                   closed_by, close_reason, total_cost::text, currency
               FROM ocpp.transaction JOIN ocpp.charge_point ON charge_point.id = charge_point_id "# + $condition
            $(, $argument)+
        )
    };
}

/// Newest first. `groups`: only of charge points that stand at sites of these, where there are any.
pub async fn list(
    database: &PgPool,
    page: Page,
    groups: Option<Vec<String>>,
) -> Result<ListTransactionsResponse, ListError> {
    let mut connection = database::begin(database).await?;
    let charge_point = match &page.identity {
        None => None,
        Some(identity) => match find(&mut connection, identity).await {
            Ok(charge_point) => Some(charge_point),
            // It has none.
            Err(FindError::Unknown) => return Ok(ListTransactionsResponse::default()),
            Err(FindError::Database(error)) => return Err(error.into()),
        },
    };
    database::plan_for_values(&mut connection).await?;
    let (before, before_id) = before(page.seen, page.started_before);
    let mut rows = select!(
        r#"WHERE (start_received_at, transaction.id) < (coalesce($1, 'infinity'::timestamptz), $2)
             AND ($3::uuid IS NULL OR charge_point_id = $3)
             AND ($4::text IS NULL OR status = $4)
             AND ($5::text IS NULL OR left(lower(id_token), 255) = left(lower($5 COLLATE "C"), 255))
             AND ($6::integer IS NULL OR connector_id = $6)
             AND ($7::timestamptz IS NULL OR start_received_at >= $7)
             AND ($9::text[] IS NULL OR site_id IN (SELECT id FROM ocpp.site WHERE groups && $9))
           ORDER BY start_received_at DESC, transaction.id DESC LIMIT $8"#,
        before,
        before_id,
        charge_point,
        page.status,
        page.id_token,
        page.connector_id,
        page.started_after,
        page.size.limit(),
        groups as Option<Vec<String>>
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page
        .size
        .cut(&mut rows, |row| (row.start_received_at.timestamp_micros(), row.id));
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
            closed_by: row.closed_by.map(|id| id.to_string()),
            close_reason: row.close_reason,
            total_cost: row.total_cost,
            currency: row.currency,
        }
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    #[test]
    fn every_filter_that_is_wrong_is_named_at_once() {
        let never = Some(Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        });
        let wrong = ListTransactionsRequest {
            status: Some("open".to_owned()),
            page_size: -1,
            connector_id: Some(1),
            started_after: never,
            started_before: never,
            ..ListTransactionsRequest::default()
        };
        let violations = Page::try_from(wrong).expect_err("all are wrong");
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(
            fields,
            ["status", "connectorId", "startedAfter", "startedBefore", "pageSize"]
        );
    }
}
