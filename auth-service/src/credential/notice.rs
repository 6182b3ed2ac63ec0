//! What an account proves itself by has changed, or is about to: the audit log has it, and its owner gets a mail, where the
//! account has an address that was shown to be its owner's. Both are written in the transaction of the change.

use chrono::{DateTime, Utc};
use service_kit::access::Client;
use service_kit::{event, outbox};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::events::v1::{SecondFactorChange, SecondFactorChanged};

use crate::announce;
use crate::audit::{self, Action, Entry};
use crate::owner::Owner;

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    TotpAdded,
    TotpRemoved,
    RecoveryCodesRenewed,
    PasskeyAdded(Uuid),
    PasskeyRemoved(Uuid),
    ApiKeyCreated(Uuid),
    /// The account has its old address still, and that is the one that is told.
    EmailChangeRequested,
}

#[derive(Debug, Error)]
pub enum NoticeError {
    #[error("the event could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error("the change could not be recorded")]
    Database(#[from] sqlx::Error),
}

impl Change {
    fn for_mail(self) -> SecondFactorChange {
        match self {
            Self::TotpAdded => SecondFactorChange::TotpAdded,
            Self::TotpRemoved => SecondFactorChange::TotpRemoved,
            Self::RecoveryCodesRenewed => SecondFactorChange::RecoveryCodesRenewed,
            Self::PasskeyAdded(_) => SecondFactorChange::PasskeyAdded,
            Self::PasskeyRemoved(_) => SecondFactorChange::PasskeyRemoved,
            Self::ApiKeyCreated(_) => SecondFactorChange::ApiKeyCreated,
            Self::EmailChangeRequested => SecondFactorChange::EmailChangeRequested,
        }
    }

    fn for_audit(self) -> Action {
        match self {
            Self::TotpAdded => Action::TotpAdded,
            Self::TotpRemoved => Action::TotpRemoved,
            Self::RecoveryCodesRenewed => Action::RecoveryCodesRenewed,
            Self::PasskeyAdded(_) => Action::PasskeyAdded,
            Self::PasskeyRemoved(_) => Action::PasskeyRemoved,
            Self::ApiKeyCreated(_) => Action::ApiKeyCreated,
            Self::EmailChangeRequested => Action::EmailChangeRequested,
        }
    }
}

/// Tells of a change that an account made to itself.
pub async fn tell(
    connection: &mut PgConnection,
    owner: &Owner,
    change: Change,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<(), NoticeError> {
    let changed = SecondFactorChanged {
        account_id: owner.id.to_string(),
        username: owner.username.clone(),
        email: owner.verified_email(),
        change: change.for_mail().into(),
    };
    announce::about(connection, owner.id, event::new(crate::NAME, now, &changed)).await?;
    let entry = Entry::new(change.for_audit(), now, client).by(owner.id).on(owner.id);
    let entry = match change {
        Change::PasskeyAdded(passkey) | Change::PasskeyRemoved(passkey) => entry.with("passkey", passkey.to_string()),
        Change::ApiKeyCreated(key) => entry.with("apiKey", key.to_string()),
        Change::TotpAdded | Change::TotpRemoved | Change::RecoveryCodesRenewed | Change::EmailChangeRequested => entry,
    };
    audit::record(connection, entry).await?;
    Ok(())
}

impl From<NoticeError> for Status {
    fn from(error: NoticeError) -> Self {
        match error {
            NoticeError::Outbox(error) => service_kit::reason::internal(&error),
            NoticeError::Database(error) => service_kit::database::failed(&error),
        }
    }
}
