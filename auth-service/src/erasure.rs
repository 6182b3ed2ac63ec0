//! The end of an account, whoever wants it: everything that tells of its owner goes, in the caller's transaction. The audit
//! log keeps that something happened.

use chrono::{DateTime, Utc};
use service_kit::access::Client;
use service_kit::{database, event, outbox, reason};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::events::v1::AccountDeleted;

use crate::State;
use crate::api_key;
use crate::audit::{self, Action, Entry};
use crate::email::verify;
use crate::owner::Owner;
use crate::session::end::{self, Which};

#[derive(Debug, Error)]
pub enum ErasureError {
    #[error("the event could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error("the account could not be deleted")]
    Database(#[from] sqlx::Error),
}

impl From<ErasureError> for Status {
    fn from(error: ErasureError) -> Self {
        match error {
            ErasureError::Outbox(error) => reason::internal(&error),
            ErasureError::Database(error) => database::failed(&error),
        }
    }
}

/// Deletes an account, whose row the caller has locked and who is not the last administrator.
pub async fn erase(
    connection: &mut PgConnection,
    state: &State,
    account: Owner,
    by: Uuid,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<(), ErasureError> {
    end::end(connection, state, account.id, Which::All).await?;
    api_key::revoke::end_all(connection, state, account.id).await?;
    let entry = Entry::new(Action::Erased, now, client).by(by).on(account.id);
    audit::record(connection, entry).await?;
    audit::anonymise(connection, account.id).await?;
    let email = account.verified_email();
    let email_is_shared = match &email {
        Some(email) => verify::is_somebody_elses(connection, account.id, email).await?,
        None => false,
    };
    let language = sqlx::query_scalar!(
        "DELETE FROM authentication.account WHERE id = $1 RETURNING language",
        account.id
    )
    .fetch_optional(&mut *connection)
    .await?
    .flatten();
    let deleted = AccountDeleted {
        account_id: account.id.to_string(),
        username: account.username,
        email,
        email_is_shared,
    };
    let event = event::in_language(event::new(crate::NAME, now, &deleted), language);
    outbox::enqueue(connection, &event).await?;
    Ok(())
}
