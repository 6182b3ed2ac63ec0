//! Strays, one or a page of them.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ListStraysRequest, ListStraysResponse, ReplacedStop, Stray};

use super::Fate;
use crate::charge_point::find::{FindError, find};
use crate::transaction::correct::Earlier;
use crate::unmatched::Kind;

#[derive(Debug)]
pub(super) struct Page {
    identity: Option<String>,
    kind: Option<Kind>,
    fate: Option<Fate>,
    size: PageSize,
    /// The last id seen.
    before: Option<Uuid>,
}

impl TryFrom<ListStraysRequest> for Page {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ListStraysRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let page = page::parse(request.page_size, &request.page_token).map_err(|problems| violations.extend(problems));
        let kind = request.kind.as_deref().map(Kind::parse);
        if kind == Some(None) {
            violations.push(FieldViolation::new("kind", "must be stop or meter_values"));
        }
        let fate = request.state.as_deref().map(Fate::parse);
        if fate == Some(None) {
            let problem = "must be open, attached, merged or dismissed";
            violations.push(FieldViolation::new("state", problem));
        }
        match page {
            Ok((size, before)) if violations.is_empty() => Ok(Self {
                identity: request.identity,
                kind: kind.flatten(),
                fate: fate.flatten(),
                size,
                before,
            }),
            _ => Err(violations),
        }
    }
}

#[derive(Debug, Error)]
pub(super) enum GetError {
    #[error("there is no such stray")]
    NotFound,
    #[error("the stray could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => Reason::NotFound.status("There is no stray of this id"),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

#[derive(Debug, Error)]
#[error("the strays could not be read")]
pub(super) struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

struct Row {
    id: Uuid,
    identity: String,
    kind: String,
    reason: String,
    reported_transaction_id: Option<i32>,
    payload: String,
    received_at: DateTime<Utc>,
    state: String,
    transaction_id: Option<i32>,
    note: Option<String>,
    settled_at: Option<DateTime<Utc>>,
    settled_by: Option<Uuid>,
    replaced: Option<Json<Earlier>>,
}

/// One text for both look-ups.
macro_rules! select {
    ($condition:tt $(, $argument:expr)+) => {
        sqlx::query_as!(
            Row,
            r#"SELECT unmatched.id, identity, kind, reason, reported_transaction_id, payload, received_at, state,
                   transaction_id, note, settled_at, settled_by, replaced AS "replaced: Json<Earlier>"
               FROM ocpp.unmatched JOIN ocpp.charge_point ON charge_point.id = charge_point_id "# + $condition
            $(, $argument)+
        )
    };
}

/// Newest first: ids are in the order of time.
pub(super) async fn list(database: &PgPool, page: Page) -> Result<ListStraysResponse, ListError> {
    let mut connection = database::begin(database).await?;
    let charge_point = match &page.identity {
        None => None,
        Some(identity) => match find(&mut connection, identity).await {
            Ok(charge_point) => Some(charge_point),
            // It has none.
            Err(FindError::Unknown) => return Ok(ListStraysResponse::default()),
            Err(FindError::Database(error)) => return Err(error.into()),
        },
    };
    database::plan_for_values(&mut connection).await?;
    let mut rows = select!(
        "WHERE unmatched.id < $1 AND ($2::uuid IS NULL OR charge_point_id = $2) AND ($3::text IS NULL OR kind = $3)
           AND ($4::text IS NULL OR state = $4)
         ORDER BY unmatched.id DESC LIMIT $5",
        page.before.unwrap_or(Uuid::max()),
        charge_point,
        page.kind.map(Kind::as_str),
        page.fate.map(Fate::as_str),
        page.size.limit()
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.id);
    Ok(ListStraysResponse {
        strays: rows.into_iter().map(Stray::from).collect(),
        next_page_token,
    })
}

/// What is no UUID is the id of no stray.
pub(super) async fn get(connection: &mut PgConnection, id: &str) -> Result<Stray, GetError> {
    let id = Uuid::parse_str(id).map_err(|_| GetError::NotFound)?;
    let row = select!("WHERE unmatched.id = $1", id)
        .fetch_optional(connection)
        .await?;
    row.map(Stray::from).ok_or(GetError::NotFound)
}

/// One that is there, as the transaction sees it that the connection is in.
pub(super) async fn read(connection: &mut PgConnection, id: Uuid) -> Result<Stray, sqlx::Error> {
    let row = select!("WHERE unmatched.id = $1", id).fetch_one(connection).await?;
    Ok(row.into())
}

impl From<Row> for Stray {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            identity: row.identity,
            kind: row.kind,
            reason: row.reason,
            reported_transaction_id: row.reported_transaction_id,
            payload: row.payload,
            received_at: Some(timestamp(row.received_at)),
            state: row.state,
            transaction_id: row.transaction_id,
            note: row.note,
            settled_at: row.settled_at.map(timestamp),
            settled_by: row.settled_by.map(|id| id.to_string()),
            replaced: row.replaced.map(|Json(earlier)| earlier.into()),
        }
    }
}

impl From<Earlier> for ReplacedStop {
    fn from(earlier: Earlier) -> Self {
        Self {
            meter_stop_wh: earlier.meter_stop_wh.and_then(|wh| i32::try_from(wh).ok()),
            stopped_at: earlier.stopped_at.map(timestamp),
            stop_received_at: Some(timestamp(earlier.stop_received_at)),
            stop_reason: earlier.stop_reason,
            id_token: earlier.stop_id_token,
            closed_by: earlier.closed_by.map(|id| id.to_string()),
            close_reason: earlier.close_reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_that_is_wrong_is_named_at_once() {
        let wrong = ListStraysRequest {
            page_size: -1,
            page_token: "%".to_owned(),
            identity: None,
            kind: Some("meterValues".to_owned()),
            state: Some("closed".to_owned()),
        };
        let violations = Page::try_from(wrong).expect_err("all are wrong");
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["pageSize", "pageToken", "kind", "state"]);
    }
}
