//! Tariffs, one or a page of them. Names are compared without the case of letters A to Z.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ListTariffsRequest, ListTariffsResponse, Tariff};

use super::Row;
use super::terms::Terms;
use crate::charge_point::find::{FindError, find};

#[derive(Debug)]
pub struct Page {
    size: PageSize,
    /// The last name seen, as it is sorted.
    after: Option<String>,
}

impl TryFrom<ListTariffsRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListTariffsRequest) -> Result<Self, Self::Error> {
        let (size, after) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self { size, after })
    }
}

#[derive(Debug, Error)]
pub enum GetError {
    #[error("there is no such tariff")]
    NotFound,
    #[error("the tariff could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => Reason::NotFound.status("There is no tariff of this id"),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

#[derive(Debug, Error)]
pub enum OfChargePointError {
    #[error("no tariff holds there")]
    Free,
    #[error(transparent)]
    ChargePoint(#[from] FindError),
    #[error("the tariff could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<OfChargePointError> for Status {
    fn from(error: OfChargePointError) -> Self {
        match error {
            OfChargePointError::Free => Reason::NotFound.status("No tariff holds for the charge point now"),
            OfChargePointError::ChargePoint(error) => error.into(),
            OfChargePointError::Database(error) => database::failed(&error),
        }
    }
}

#[derive(Debug, Error)]
#[error("the tariffs could not be read")]
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
            r#"SELECT tariff.id, tariff.name, identity AS "identity?", tariff.site_id, site_group, valid_from, valid_until,
                   tariff.version, terms AS "terms: Json<Terms>", tariff.created_at, tariff.revision
               FROM ocpp.tariff
               JOIN ocpp.tariff_version ON tariff_version.tariff_id = tariff.id AND tariff_version.version = tariff.version
               LEFT JOIN ocpp.charge_point ON charge_point.id = tariff.charge_point_id "# + $condition
            $(, $argument)+
        )
    };
}

/// By name.
pub async fn list(database: &PgPool, page: Page) -> Result<ListTariffsResponse, ListError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let mut rows = select!(
        r#"WHERE lower(tariff.name) > $1 COLLATE "C" ORDER BY lower(tariff.name) LIMIT $2"#,
        page.after.unwrap_or_default(),
        page.size.limit()
    )
    .fetch_all(&mut *connection)
    .await?;
    // In collation "C" lower() changes ASCII letters only.
    let next_page_token = page.size.cut(&mut rows, |row| row.name.to_ascii_lowercase());
    Ok(ListTariffsResponse {
        tariffs: rows.into_iter().map(Tariff::from).collect(),
        next_page_token,
    })
}

pub async fn get(database: &PgPool, id: &str) -> Result<Row, GetError> {
    read(&mut *database::begin(database).await?, parse_id(id)?).await
}

/// The one by which a charge would go that began now.
pub async fn get_of_charge_point(
    database: &PgPool,
    identity: &str,
    now: DateTime<Utc>,
) -> Result<Row, OfChargePointError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, identity).await?;
    select!(
        "WHERE tariff_version.id = ocpp.tariff_version_of($1, $2)",
        charge_point,
        now
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(OfChargePointError::Free)
}

/// What is no UUID is no tariff's.
pub fn parse_id(id: &str) -> Result<Uuid, GetError> {
    Uuid::try_parse(id).map_err(|_| GetError::NotFound)
}

/// As the transaction sees it that the connection is in.
pub async fn read(connection: &mut PgConnection, id: Uuid) -> Result<Row, GetError> {
    select!("WHERE tariff.id = $1", id)
        .fetch_optional(connection)
        .await?
        .ok_or(GetError::NotFound)
}
