//! Asks for another address. The account keeps the one that it has until somebody shows the code that is sent to the new
//! one. The old one is told at once: that is when its owner can still do something about it.

use service_kit::access::Client;
use service_kit::reason::{self, FieldViolation};
use service_kit::{database, outbox};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::auth::v1::ChangeEmailRequest;

use super::{Email, verify};
use crate::State;
use crate::caller::LoggedInAs;
use crate::credential::notice::{self, NoticeError};
use crate::credential::proof::{Proof, ProofError};
use crate::email_code::Purpose;
use crate::throttle::{self, ThrottleError};

/// A change that breaks no rule.
pub struct Change {
    email: Email,
    proof: Proof,
}

impl TryFrom<ChangeEmailRequest> for Change {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ChangeEmailRequest) -> Result<Self, Self::Error> {
        let email = Email::parse(&request.email).map_err(|problem| FieldViolation::new("email", problem.to_string()));
        match (email, Proof::new(request.password, request.code)) {
            (Ok(email), Ok(proof)) => Ok(Self { email, proof }),
            (email, proof) => {
                let proof = proof.err().unwrap_or_default();
                Err(email.err().into_iter().chain(proof).collect())
            }
        }
    }
}

#[derive(Debug, Error)]
pub enum ChangeError {
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error(transparent)]
    Throttle(#[from] ThrottleError),
    #[error(transparent)]
    Notice(#[from] NoticeError),
    #[error("the event could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error("the code could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<ChangeError> for Status {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Proof(error) => error.into(),
            ChangeError::Notice(error) => error.into(),
            ChangeError::Throttle(error) => error.into(),
            ChangeError::Outbox(error) => reason::internal(&error),
            ChangeError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn ask(state: &State, caller: &LoggedInAs, client: &Client, change: Change) -> Result<(), ChangeError> {
    let half = change.proof.check_password(state, caller.account, client).await?;
    let mailbox = change.email.as_str().to_lowercase();
    let counted = state
        .throttle
        .reserve(throttle::Purpose::SendMail, client.address, Some(&mailbox))
        .await?;
    let now = state.clock.now();
    let transaction = database::begin(&state.database).await?;
    let (mut transaction, account) = match half.check_code(transaction, state, client, now).await {
        Ok(proven) => proven,
        Err(error) => {
            counted.give_back().await;
            return Err(error.into());
        }
    };
    // Each mail counts, and so from here on it is not given back.
    let email = change.email.as_str();
    verify::request(
        &mut transaction,
        account.id,
        &account.username,
        Purpose::ChangeEmail,
        email,
        now,
    )
    .await?;
    notice::tell(
        &mut transaction,
        &account,
        notice::Change::EmailChangeRequested,
        client,
        now,
    )
    .await?;
    transaction.commit().await?;
    Ok(())
}
