//! Id tokens, one or a page of them. Values are compared without case, in the look-up and in the order.

use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{IdToken, ListIdTokensRequest, ListIdTokensResponse};

use super::Row;
use super::create::NOT_A_UUID;
use super::location::Location;

#[derive(Debug)]
pub struct Page {
    account: Option<Uuid>,
    size: PageSize,
    /// The last value seen, in lower case.
    after: Option<String>,
}

impl TryFrom<ListIdTokensRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListIdTokensRequest) -> Result<Self, Self::Error> {
        let account = request.account_id.as_deref().map(Uuid::try_parse).transpose();
        match (account, page::parse(request.page_size, &request.page_token)) {
            (Ok(account), Ok((size, after))) => Ok(Self { account, size, after }),
            (account, page) => {
                let account = account.err().map(|_| FieldViolation::new("accountId", NOT_A_UUID));
                Err(account.into_iter().chain(page.err().into_iter().flatten()).collect())
            }
        }
    }
}

#[derive(Debug, Error)]
pub enum GetError {
    #[error("there is no such id token")]
    NotFound,
    #[error("the id token could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => Reason::NotFound.status("There is no such id token"),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

#[derive(Debug, Error)]
#[error("the id tokens could not be read")]
pub struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

/// One text for both look-ups.
macro_rules! select {
    ($condition:tt, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"SELECT value, type, group_id, expires_at, blocked, max_concurrent_transactions, created_at, revision, account_id,
                   coalesce((
                       SELECT json_agg(json_build_object('identity', identity, 'connectorId', connector_id)
                                       ORDER BY identity, connector_id NULLS FIRST)
                       FROM ocpp.id_token_location AS location
                       JOIN ocpp.charge_point ON charge_point.id = location.charge_point_id
                       WHERE location.id_token_id = id_token.id), '[]') AS "allowed_locations!: Json<Vec<Location>>"
               FROM ocpp.id_token "# + $condition,
            $($argument),+
        )
    };
}

/// By value.
pub async fn list(database: &PgPool, page: Page) -> Result<ListIdTokensResponse, ListError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let after = page.after.unwrap_or_default();
    let mut rows = select!(
        r#"WHERE lower(value) > $1 COLLATE "C" AND ($3::uuid IS NULL OR account_id = $3)
           ORDER BY lower(value) LIMIT $2"#,
        after,
        page.size.limit(),
        page.account
    )
    .fetch_all(&mut *connection)
    .await?;
    // In collation "C" lower() changes ASCII letters only.
    let next_page_token = page.size.cut(&mut rows, |row| row.value.to_ascii_lowercase());
    Ok(ListIdTokensResponse {
        id_tokens: rows.into_iter().map(IdToken::from).collect(),
        next_page_token,
    })
}

pub async fn get(database: &PgPool, value: &str) -> Result<Row, GetError> {
    read(&mut *database::begin(database).await?, value).await
}

/// As the transaction sees it that the connection is in.
pub async fn read(connection: &mut PgConnection, value: &str) -> Result<Row, GetError> {
    select!(r#"WHERE lower(value) = lower($1 COLLATE "C")"#, value)
        .fetch_optional(connection)
        .await?
        .ok_or(GetError::NotFound)
}
