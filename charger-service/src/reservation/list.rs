//! Reservations of one charge point or of all, a page at a time.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{
    ListChargePointReservationsRequest, ListReservationsRequest, ListReservationsResponse, Reservation,
};

use crate::charge_point::find::{FindError, find};

#[derive(Debug)]
pub struct Page {
    size: PageSize,
    /// The last id seen.
    before: Option<Uuid>,
}

impl TryFrom<ListReservationsRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListReservationsRequest) -> Result<Self, Self::Error> {
        let (size, before) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self { size, before })
    }
}

#[derive(Debug)]
pub struct PageOfOne {
    identity: String,
    page: Page,
}

impl TryFrom<ListChargePointReservationsRequest> for PageOfOne {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListChargePointReservationsRequest) -> Result<Self, Self::Error> {
        let (size, before) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            identity: request.identity,
            page: Page { size, before },
        })
    }
}

#[derive(Debug, Error)]
#[error("the reservations could not be read")]
pub struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

struct Row {
    id: Uuid,
    identity: String,
    reservation_id: i32,
    connector_id: i32,
    id_tag: String,
    parent_id_tag: Option<String>,
    expires_at: DateTime<Utc>,
    status: String,
    answer: String,
    transaction_id: Option<i32>,
    answered_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

/// One text for both look-ups, so that each can have the condition that its index serves.
macro_rules! select {
    ($condition:tt $(, $argument:expr)+) => {
        sqlx::query_as!(
            Row,
            r#"SELECT reservation.id, identity, reservation_id, connector_id, id_tag, parent_id_tag, expires_at, status, answer,
                   transaction_id, answered_at, ended_at
               FROM ocpp.reservation JOIN ocpp.charge_point ON charge_point.id = charge_point_id
               WHERE reservation.id < $1 "# + $condition + "ORDER BY reservation.id DESC LIMIT $2"
            $(, $argument)+
        )
    };
}

/// Newest first: ids are in the order of time.
pub async fn list(database: &PgPool, page: Page, now: DateTime<Utc>) -> Result<ListReservationsResponse, ListError> {
    let mut connection = database::begin(database).await?;
    let before = page.before.unwrap_or(Uuid::max());
    let rows = select!(" ", before, page.size.limit())
        .fetch_all(&mut *connection)
        .await?;
    Ok(shown(rows, page.size, now))
}

/// Newest first.
pub async fn list_of_one(
    database: &PgPool,
    PageOfOne { identity, page }: PageOfOne,
    now: DateTime<Utc>,
) -> Result<ListReservationsResponse, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, &identity).await?;
    let before = page.before.unwrap_or(Uuid::max());
    let rows = select!(" AND charge_point_id = $3 ", before, page.size.limit(), charge_point)
        .fetch_all(&mut *connection)
        .await?;
    Ok(shown(rows, page.size, now))
}

fn shown(mut rows: Vec<Row>, size: PageSize, now: DateTime<Utc>) -> ListReservationsResponse {
    let next_page_token = size.cut(&mut rows, |row| row.id);
    ListReservationsResponse {
        reservations: rows.into_iter().map(|row| row.shown_at(now)).collect(),
        next_page_token,
    }
}

impl Row {
    /// Nothing happens when its time is over, so that an accepted one may have expired.
    fn shown_at(self, now: DateTime<Utc>) -> Reservation {
        let expired = self.status == "accepted" && self.expires_at <= now;
        Reservation {
            id: self.id.to_string(),
            identity: self.identity,
            reservation_id: self.reservation_id,
            connector_id: self.connector_id,
            id_tag: self.id_tag,
            parent_id_tag: self.parent_id_tag,
            expires_at: Some(timestamp(self.expires_at)),
            status: if expired { "expired".to_owned() } else { self.status },
            answer: self.answer,
            transaction_id: self.transaction_id,
            answered_at: Some(timestamp(self.answered_at)),
            ended_at: if expired { Some(self.expires_at) } else { self.ended_at }.map(timestamp),
        }
    }
}
