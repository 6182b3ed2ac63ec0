//! Puts another profile in place of that of a template.

use service_kit::database;
use service_kit::version::{self, IfMatch};
use sqlx::types::Json;
use thiserror::Error;
use tonic::Status;

use super::Row;
use super::create::{self, CreateError};
use super::list::{self, GetError};
use super::read::Content;
use crate::State;
use crate::audit::{self, Action, Author, Entry};

#[derive(Debug, Error)]
pub enum ReplaceError {
    #[error("the template has been changed meanwhile")]
    Changed,
    #[error("there is a template of this name")]
    Exists,
    #[error("the template could not be changed")]
    Database(#[source] sqlx::Error),
    #[error(transparent)]
    Get(#[from] GetError),
}

impl From<sqlx::Error> for ReplaceError {
    fn from(error: sqlx::Error) -> Self {
        match CreateError::from(error) {
            CreateError::Exists => Self::Exists,
            CreateError::TooMany => Self::Database(sqlx::Error::RowNotFound),
            CreateError::Database(error) => Self::Database(error),
        }
    }
}

impl From<ReplaceError> for Status {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Changed => version::changed(),
            ReplaceError::Exists => create::exists(),
            ReplaceError::Database(error) => database::failed(&error),
            ReplaceError::Get(error) => error.into(),
        }
    }
}

/// Replaces it in the version that the caller has seen, and returns it as it is then. Another name alone makes no other
/// version: what charge points have is as good as before.
pub async fn replace(
    state: &State,
    id: &str,
    content: &Content,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Row, ReplaceError> {
    let (id, now) = (list::parse_id(id)?, state.clock.now());
    let mut transaction = database::begin(&state.database).await?;
    let replaced = sqlx::query!(
        "UPDATE ocpp.charging_profile_template
         SET name = $2, profile = $3, version = CASE WHEN profile = $3 THEN version ELSE version + 1 END,
             revision = nextval('ocpp.revision')
         WHERE id = $1 AND ($4::bigint[] IS NULL OR revision = ANY($4))",
        id,
        content.name,
        Json(&content.profile) as _,
        if_match.revisions(),
    )
    .execute(&mut *transaction)
    .await?;
    let template = list::read(&mut transaction, id).await?;
    if replaced.rows_affected() == 0 {
        return Err(ReplaceError::Changed);
    }
    let entry = template.told(Entry::new(Action::ChargingProfileTemplateReplaced, now, author));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(template)
}
