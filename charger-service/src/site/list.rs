//! Sites, one or a page of them. Names are compared without case.

use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ListSitesRequest, ListSitesResponse, Site};

use super::Row;

#[derive(Debug)]
pub struct Page {
    group: Option<String>,
    size: PageSize,
    /// The last name seen, as it is sorted.
    after: Option<String>,
}

impl TryFrom<ListSitesRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListSitesRequest) -> Result<Self, Self::Error> {
        let (size, after) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            group: request.group,
            size,
            after,
        })
    }
}

#[derive(Debug, Error)]
pub enum GetError {
    #[error("there is no such site")]
    NotFound,
    #[error("the site could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => Reason::NotFound.status("There is no site of this id"),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

#[derive(Debug, Error)]
#[error("the sites could not be read")]
pub struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

/// By name. `groups`: only those in these, where there are any.
pub async fn list(database: &PgPool, page: Page, groups: Option<Vec<String>>) -> Result<ListSitesResponse, ListError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT id, name, time_zone, grid_limit_watts, address, groups, created_at, revision FROM ocpp.site
           WHERE lower(name) > $1 COLLATE "C" AND ($2::text IS NULL OR groups @> ARRAY[$2])
             AND ($4::text[] IS NULL OR groups && $4)
           ORDER BY lower(name) LIMIT $3"#,
        page.after.unwrap_or_default(),
        page.group,
        page.size.limit(),
        groups as Option<Vec<String>>,
    )
    .fetch_all(&mut *connection)
    .await?;
    // In collation "C" lower() changes ASCII letters only.
    let next_page_token = page.size.cut(&mut rows, |row| row.name.to_ascii_lowercase());
    Ok(ListSitesResponse {
        sites: rows.into_iter().map(Site::from).collect(),
        next_page_token,
    })
}

pub async fn get(database: &PgPool, id: &str) -> Result<Row, GetError> {
    read(&mut *database::begin(database).await?, parse_id(id)?).await
}

/// What is no UUID is no site's.
pub fn parse_id(id: &str) -> Result<Uuid, GetError> {
    Uuid::try_parse(id).map_err(|_| GetError::NotFound)
}

/// As the transaction sees it that the connection is in.
pub async fn read(connection: &mut PgConnection, id: Uuid) -> Result<Row, GetError> {
    sqlx::query_as!(
        Row,
        "SELECT id, name, time_zone, grid_limit_watts, address, groups, created_at, revision FROM ocpp.site WHERE id = $1",
        id,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(GetError::NotFound)
}
