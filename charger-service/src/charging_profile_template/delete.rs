//! Deletes a template. Nothing is sent, not even what waits for charge points that are away: what charge points have of it stays
//! theirs.

use service_kit::database;
use service_kit::version::{self, IfMatch};
use thiserror::Error;
use tonic::Status;

use super::list::{self, GetError};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::command::ledger::ending;

#[derive(Debug, Error)]
pub enum DeleteError {
    #[error("the template has been changed meanwhile")]
    Changed,
    #[error("the template could not be deleted")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Get(#[from] GetError),
}

impl From<DeleteError> for Status {
    fn from(error: DeleteError) -> Self {
        match error {
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
    // What is told to be gone is what was there.
    sqlx::query!(
        "SELECT FROM ocpp.charging_profile_template WHERE id = $1 FOR UPDATE",
        id
    )
    .execute(&mut *transaction)
    .await?;
    let known = list::read(&mut transaction, id).await?;
    // Nobody would know of a profile that reached its charge point later.
    let queued = sqlx::query_scalar!(
        "SELECT command_id FROM ocpp.charging_profile_template_place WHERE template_id = $1 AND state = 'pending'
         ORDER BY command_id",
        id,
    )
    .fetch_all(&mut *transaction)
    .await?;
    ending::withdraw(&mut transaction, &queued, state.clock.now()).await?;
    let deleted = sqlx::query!(
        "DELETE FROM ocpp.charging_profile_template WHERE id = $1 AND ($2::bigint[] IS NULL OR revision = ANY($2))",
        id,
        if_match.revisions(),
    )
    .execute(&mut *transaction)
    .await?;
    if deleted.rows_affected() == 0 {
        return Err(DeleteError::Changed);
    }
    let entry = known.told(Entry::new(
        Action::ChargingProfileTemplateDeleted,
        state.clock.now(),
        author,
    ));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
