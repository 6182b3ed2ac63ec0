//! Takes a vendor off the register.

use service_kit::database;
use service_kit::version::{self, IfMatch};
use thiserror::Error;
use tonic::Status;

use super::list::{self, GetError};
use crate::State;
use crate::audit::{self, Action, Author, Entry};

#[derive(Debug, Error)]
pub(super) enum DeleteError {
    #[error("the vendor has been changed meanwhile")]
    Changed,
    #[error("the vendor could not be deleted")]
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

/// Deletes it in the version that the caller has seen. What is on its way to it goes on.
pub(super) async fn delete(
    state: &State,
    vendor_id: &str,
    if_match: &IfMatch,
    author: &Author,
) -> Result<(), DeleteError> {
    let mut transaction = database::begin(&state.database).await?;
    let deleted = sqlx::query_scalar!(
        r#"DELETE FROM ocpp.data_transfer_vendor
           WHERE lower(vendor_id) = lower($1 COLLATE "C") AND ($2::bigint[] IS NULL OR revision = ANY($2))
           RETURNING vendor_id"#,
        vendor_id,
        if_match.revisions(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(deleted) = deleted else {
        list::read(&mut transaction, vendor_id).await?;
        return Err(DeleteError::Changed);
    };
    let entry = Entry::new(Action::DataTransferVendorDeleted, state.clock.now(), author);
    audit::record(&mut transaction, entry.with("vendorId", Some(deleted))).await?;
    transaction.commit().await?;
    Ok(())
}
