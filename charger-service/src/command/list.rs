//! Commands, one or a page of them.

use serde_json::value::RawValue;
use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::PgPool;
use sqlx::types::Json;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{Command, ListCommandsRequest, ListCommandsResponse};

use super::view::{self, select};
use crate::charge_point::find::{FindError, find};

#[derive(Debug)]
pub struct Page {
    identity: String,
    size: PageSize,
    /// The last id seen.
    before: Option<Uuid>,
}

impl TryFrom<ListCommandsRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListCommandsRequest) -> Result<Self, Self::Error> {
        let (size, before) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            identity: request.identity,
            size,
            before,
        })
    }
}

#[derive(Debug, Error)]
pub enum GetError {
    #[error("there is no such command")]
    NotFound,
    #[error("the command could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => Reason::NotFound.status("There is no command of this id"),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

/// Newest first: ids are in the order of time.
pub async fn list(database: &PgPool, page: Page) -> Result<ListCommandsResponse, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, &page.identity).await?;
    let mut rows = select!(
        "WHERE charge_point_id = $1 AND command.id < $2 ORDER BY command.id DESC LIMIT $3",
        charge_point,
        page.before.unwrap_or(Uuid::max()),
        page.size.limit()
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.id);
    Ok(ListCommandsResponse {
        commands: rows.into_iter().map(Command::from).collect(),
        next_page_token,
    })
}

/// What is no UUID is the id of no command.
pub async fn get(database: &PgPool, id: &str) -> Result<Command, GetError> {
    let id = Uuid::parse_str(id).map_err(|_| GetError::NotFound)?;
    let row = view::find(database, id).await?;
    row.map(Command::from).ok_or(GetError::NotFound)
}
