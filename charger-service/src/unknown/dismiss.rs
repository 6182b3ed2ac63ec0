//! Takes a charge point that knocked off the list. It is there again when it knocks again.

use service_kit::database;
use thiserror::Error;
use tonic::Status;

use super::{accept, forget};
use crate::State;
use crate::audit::{self, Action, Author, Entry};

#[derive(Debug, Error)]
pub(super) enum DismissError {
    #[error("it has not knocked")]
    NotFound,
    #[error("it could not be taken off the list")]
    Database(#[from] sqlx::Error),
}

impl From<DismissError> for Status {
    fn from(error: DismissError) -> Self {
        match error {
            DismissError::NotFound => accept::unknown(),
            DismissError::Database(error) => database::failed(&error),
        }
    }
}

pub(super) async fn dismiss(state: &State, identity: &str, author: &Author) -> Result<(), DismissError> {
    let mut transaction = database::begin(&state.database).await?;
    if !forget(&mut transaction, identity).await? {
        return Err(DismissError::NotFound);
    }
    let entry = Entry::new(Action::UnknownDismissed, state.clock.now(), author).on_charge_point(identity);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
