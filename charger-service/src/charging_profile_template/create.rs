//! Creates a template.

use service_kit::database;
use service_kit::reason::Reason;
use sqlx::PgConnection;
use sqlx::types::Json;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::list::{self, GetError};
use super::read::Content;
use super::{Row, place};
use crate::State;
use crate::audit::{self, Action, Author, Entry};

#[derive(Debug, Error)]
pub enum CreateError {
    #[error("there is a template of this name")]
    Exists,
    #[error("there are as many templates as there are numbers for them")]
    TooMany,
    #[error("the template could not be stored")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("charging_profile_template_name_unique") => Self::Exists,
            _ => Self::Database(error),
        }
    }
}

impl From<GetError> for CreateError {
    fn from(error: GetError) -> Self {
        match error {
            // It has just been written.
            GetError::NotFound => Self::Database(sqlx::Error::RowNotFound),
            GetError::Database(error) => Self::Database(error),
        }
    }
}

impl From<CreateError> for Status {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Exists => exists(),
            CreateError::TooMany => Reason::TooManyChargingProfileTemplates
                .status("There are 100000 charging profile templates; delete some that are not used any more"),
            CreateError::Database(error) => database::failed(&error),
        }
    }
}

pub(super) fn exists() -> Status {
    let detail = "There is a charging profile template of this name, perhaps in other letter case";
    Reason::ChargingProfileTemplateExists.status(detail)
}

pub async fn create(state: &State, content: &Content, author: &Author) -> Result<Row, CreateError> {
    let (now, id) = (state.clock.now(), Uuid::now_v7());
    let mut transaction = database::begin(&state.database).await?;
    let number = free_number(&mut transaction).await?.ok_or(CreateError::TooMany)?;
    sqlx::query!(
        "INSERT INTO ocpp.charging_profile_template (id, number, name, version, profile, created_at)
         VALUES ($1, $2, $3, 1, $4, $5)",
        id,
        number,
        content.name,
        Json(&content.profile) as _,
        now,
    )
    .execute(&mut *transaction)
    .await?;
    let created = list::read(&mut transaction, id).await?;
    let entry = created.told(Entry::new(Action::ChargingProfileTemplateCreated, now, author));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(created)
}

/// The next that no template has. The sequence gives each out once before it begins again, so that the one found is
/// nobody else's meanwhile unless nearly all are taken.
async fn free_number(connection: &mut PgConnection) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"WITH beginning AS MATERIALIZED (
             SELECT nextval('ocpp.charging_profile_template_number')::integer AS first)
           SELECT candidate AS "candidate!"
           FROM beginning, generate_series(0, $1 - 1) AS step,
               LATERAL (SELECT (first + step) % $1 AS candidate) AS wrapped
           WHERE NOT EXISTS (SELECT FROM ocpp.charging_profile_template WHERE number = candidate)
           ORDER BY step LIMIT 1"#,
        place::NUMBERS,
    )
    .fetch_optional(connection)
    .await
}
