//! The transactions of a driver: those that were started with a token which was the driver's then. A token that is somebody
//! else's by now shows neither of them what the other has charged.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{ListMyTransactionsRequest, ListMyTransactionsResponse, MyTransaction};

use super::Driver;
use crate::transaction::list::{GetError as NoTransaction, status};

/// Which transactions, and how many.
#[derive(Debug)]
pub(super) struct Page {
    status: Option<&'static str>,
    /// Not earlier, by when the start came in.
    started_after: Option<DateTime<Utc>>,
    /// Earlier than this.
    started_before: Option<DateTime<Utc>>,
    size: PageSize,
    /// When the start of the last transaction seen came in, in microseconds since 1970, and its id.
    seen: Option<(i64, i32)>,
}

impl TryFrom<ListMyTransactionsRequest> for Page {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ListMyTransactionsRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let status = status(request.status.as_deref(), &mut violations);
        let started_after = page::time("startedAfter", request.started_after, &mut violations);
        let started_before = page::time("startedBefore", request.started_before, &mut violations);
        match page::parse(request.page_size, &request.page_token) {
            Ok((size, seen)) if violations.is_empty() => Ok(Self {
                status,
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

#[derive(Debug, Error)]
#[error("the transactions could not be read")]
pub(super) struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

#[derive(Debug, Error)]
pub(super) enum GetError {
    #[error("the driver has no such transaction")]
    NotFound,
    #[error("the transaction could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            // In the same words as to operators.
            GetError::NotFound => NoTransaction::NotFound.into(),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

struct Row {
    id: i32,
    id_token: String,
    status: String,
    connector_code: Option<String>,
    site_name: Option<String>,
    site_address: Option<String>,
    energy_wh: Option<i32>,
    started_at: Option<DateTime<Utc>>,
    stopped_at: Option<DateTime<Utc>>,
    start_received_at: DateTime<Utc>,
    stop_received_at: Option<DateTime<Utc>>,
    stop_reason: Option<String>,
    total_cost: Option<String>,
    currency: Option<String>,
}

/// One text for both look-ups, the first parameter of which is the account. Energy as operators are shown it.
macro_rules! select {
    ($condition:tt, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"SELECT transaction.id, id_token, status, code AS "connector_code?", site.name AS "site_name?",
                   site.address AS "site_address?",
                   ocpp.whole(energy_wh) AS energy_wh,
                   started_at, stopped_at, start_received_at, stop_received_at, stop_reason,
                   total_cost::text, currency
               FROM ocpp.transaction JOIN ocpp.charge_point ON charge_point.id = charge_point_id
               LEFT JOIN ocpp.connector_declaration USING (charge_point_id, connector_id)
               LEFT JOIN ocpp.site ON site.id = site_id
               WHERE account_id = $1 AND "# + $condition,
            $($argument),+
        )
    };
}

/// Newest first.
pub(super) async fn list(
    database: &PgPool,
    driver: Driver,
    page: Page,
) -> Result<ListMyTransactionsResponse, ListError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let (before, before_id) = crate::transaction::list::before(page.seen, page.started_before);
    let mut rows = select!(
        r#"(start_received_at, transaction.id) < (coalesce($2, 'infinity'::timestamptz), $3)
             AND ($4::text IS NULL OR status = $4)
             AND ($5::timestamptz IS NULL OR start_received_at >= $5)
           ORDER BY start_received_at DESC, transaction.id DESC LIMIT $6"#,
        driver.account,
        before,
        before_id,
        page.status,
        page.started_after,
        page.size.limit()
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page
        .size
        .cut(&mut rows, |row| (row.start_received_at.timestamp_micros(), row.id));
    Ok(ListMyTransactionsResponse {
        transactions: rows.into_iter().map(MyTransaction::from).collect(),
        next_page_token,
    })
}

pub(super) async fn get(database: &PgPool, driver: Driver, id: i32) -> Result<MyTransaction, GetError> {
    let row = select!("transaction.id = $2", driver.account, id)
        .fetch_optional(&mut *database::begin(database).await?)
        .await?;
    row.map(MyTransaction::from).ok_or(GetError::NotFound)
}

/// A transaction of the driver, for what may be asked of it.
#[derive(Debug)]
pub(super) struct Owned {
    /// Of the charge point where it runs, or ran.
    pub identity: String,
    /// The charge point has told so. One that an operator has closed may run on.
    pub is_stopped: bool,
}

pub(super) async fn find(database: &PgPool, driver: Driver, id: i32) -> Result<Owned, GetError> {
    sqlx::query_as!(
        Owned,
        r#"SELECT identity, stop_received_at IS NOT NULL AND closed_by IS NULL AS "is_stopped!"
           FROM ocpp.transaction JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           WHERE transaction.id = $1 AND account_id = $2"#,
        id,
        driver.account,
    )
    .fetch_optional(&mut *database::begin(database).await?)
    .await?
    .ok_or(GetError::NotFound)
}

impl From<Row> for MyTransaction {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            id_token: row.id_token,
            status: row.status,
            connector_code: row.connector_code,
            site_name: row.site_name,
            site_address: row.site_address,
            energy_wh: row.energy_wh,
            started_at: row.started_at.map(timestamp),
            stopped_at: row.stopped_at.map(timestamp),
            start_received_at: Some(timestamp(row.start_received_at)),
            stop_received_at: row.stop_received_at.map(timestamp),
            stop_reason: row.stop_reason,
            total_cost: row.total_cost,
            currency: row.currency,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_that_is_wrong_is_named_at_once() {
        let never = Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        });
        let wrong = ListMyTransactionsRequest {
            status: Some("open".to_owned()),
            started_after: never,
            started_before: never,
            page_size: -1,
            page_token: String::new(),
        };
        let violations = Page::try_from(wrong).expect_err("all are wrong");
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["status", "startedAfter", "startedBefore", "pageSize"]);
    }
}
