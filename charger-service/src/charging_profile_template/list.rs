//! Templates, one or a page of them. Names are compared without the case of letters A to Z.

use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{
    ChargingProfileTemplate, ListChargingProfileTemplatesRequest, ListChargingProfileTemplatesResponse,
};

use super::Row;
use super::profile::Profile;

#[derive(Debug)]
pub struct Page {
    size: PageSize,
    /// The last name seen, as it is sorted.
    after: Option<String>,
}

impl TryFrom<ListChargingProfileTemplatesRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListChargingProfileTemplatesRequest) -> Result<Self, Self::Error> {
        let (size, after) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self { size, after })
    }
}

#[derive(Debug, Error)]
pub enum GetError {
    #[error("there is no such template")]
    NotFound,
    #[error("the template could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => Reason::NotFound.status("There is no charging profile template of this id"),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

#[derive(Debug, Error)]
#[error("the templates could not be read")]
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
            r#"SELECT id, number, name, version, profile AS "profile: Json<Profile>", created_at, revision
               FROM ocpp.charging_profile_template "# + $condition
            $(, $argument)+
        )
    };
}

/// By name.
pub async fn list(database: &PgPool, page: Page) -> Result<ListChargingProfileTemplatesResponse, ListError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let mut rows = select!(
        r#"WHERE lower(name) > $1 COLLATE "C" ORDER BY lower(name) LIMIT $2"#,
        page.after.unwrap_or_default(),
        page.size.limit()
    )
    .fetch_all(&mut *connection)
    .await?;
    // In collation "C" lower() changes ASCII letters only.
    let next_page_token = page.size.cut(&mut rows, |row| row.name.to_ascii_lowercase());
    Ok(ListChargingProfileTemplatesResponse {
        templates: rows.into_iter().map(ChargingProfileTemplate::from).collect(),
        next_page_token,
    })
}

pub async fn get(database: &PgPool, id: &str) -> Result<Row, GetError> {
    read(&mut *database::begin(database).await?, parse_id(id)?).await
}

/// What is no UUID is no template's.
pub fn parse_id(id: &str) -> Result<Uuid, GetError> {
    Uuid::try_parse(id).map_err(|_| GetError::NotFound)
}

/// As the transaction sees it that the connection is in.
pub async fn read(connection: &mut PgConnection, id: Uuid) -> Result<Row, GetError> {
    select!("WHERE id = $1", id)
        .fetch_optional(connection)
        .await?
        .ok_or(GetError::NotFound)
}

/// The same, and until the transaction is over nobody changes it.
pub async fn hold(connection: &mut PgConnection, id: Uuid) -> Result<Row, GetError> {
    select!("WHERE id = $1 FOR SHARE", id)
        .fetch_optional(connection)
        .await?
        .ok_or(GetError::NotFound)
}
