//! A passkey gets another name.

use service_kit::access::Client;
use service_kit::database;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::Passkey;

use super::list::Row;
use super::not_found;
use crate::State;
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use crate::name::Name;

#[derive(Debug, Error)]
pub enum RenameError {
    #[error("the account has no such passkey")]
    Unknown,
    #[error("the passkey could not be renamed")]
    Database(#[from] sqlx::Error),
}

pub async fn rename(
    state: &State,
    caller: &LoggedInAs,
    id: Uuid,
    name: &Name,
    client: &Client,
) -> Result<Passkey, RenameError> {
    let mut transaction = database::begin(&state.database).await?;
    let renamed = sqlx::query_as!(
        Row,
        "UPDATE authentication.passkey SET name = $3 WHERE id = $1 AND account_id = $2
         RETURNING id, name, created_at, last_used_at",
        id,
        caller.account,
        name.as_str()
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(RenameError::Unknown)?;
    let entry = Entry::new(Action::PasskeyRenamed, state.clock.now(), client)
        .by(caller.account)
        .on(caller.account)
        .with("passkey", id.to_string());
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(renamed.into())
}

impl From<RenameError> for Status {
    fn from(error: RenameError) -> Self {
        match error {
            RenameError::Unknown => not_found(),
            RenameError::Database(error) => database::failed(&error),
        }
    }
}
