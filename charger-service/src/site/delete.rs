//! Forgets a site.

use service_kit::database;
use service_kit::reason::Reason;
use service_kit::version::{self, IfMatch};
use thiserror::Error;
use tonic::Status;

use super::Row;
use super::list::{self, GetError};
use super::properties::properties;
use crate::State;
use crate::audit::{self, Action, Author, Entry};

#[derive(Debug, Error)]
pub enum DeleteError {
    #[error("charge points stand there, or a tariff is for it")]
    InUse,
    #[error("the site has been changed meanwhile")]
    Changed,
    #[error("the site could not be deleted")]
    Database(#[source] sqlx::Error),
    #[error(transparent)]
    Get(#[from] GetError),
}

impl From<sqlx::Error> for DeleteError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("charge_point_site" | "tariff_site") => Self::InUse,
            _ => Self::Database(error),
        }
    }
}

impl From<DeleteError> for Status {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::InUse => {
                let detail =
                    "Charge points stand there or a tariff is for it; move them to another site or delete it first";
                Reason::SiteInUse.status(detail)
            }
            DeleteError::Changed => version::changed(),
            DeleteError::Database(error) => database::failed(&error),
            DeleteError::Get(error) => error.into(),
        }
    }
}

/// Deletes it in the version that the caller has seen.
pub async fn delete(state: &State, id: &str, if_match: &IfMatch, author: &Author) -> Result<(), DeleteError> {
    let id = list::parse_id(id)?;
    let mut transaction = database::begin(&state.database).await?;
    let deleted = sqlx::query_as!(
        Row,
        "DELETE FROM ocpp.site WHERE id = $1 AND ($2::bigint[] IS NULL OR revision = ANY($2))
         RETURNING id, name, time_zone, grid_limit_watts, address, groups, created_at, revision",
        id,
        if_match.revisions(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(deleted) = deleted else {
        list::read(&mut transaction, id).await?;
        return Err(DeleteError::Changed);
    };
    let entry = Entry::new(Action::SiteDeleted, state.clock.now(), author);
    audit::record(&mut transaction, properties(entry, &deleted)).await?;
    transaction.commit().await?;
    Ok(())
}
