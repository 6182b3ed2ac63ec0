//! A passkey is registered in two steps: a challenge for the device, and the new public key that comes back.

use service_kit::access::Client;
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::{self, FieldViolation, Reason};
use sqlx::PgConnection;
use sqlx::types::Json;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::{self as proto, PasskeyChallenge, RegisterPasskeyRequest};
use webauthn_rs::prelude::{CredentialID, Passkey, PasskeyRegistration, RegisterPublicKeyCredential, WebauthnError};

use super::relying_party::Refused;
use super::{MOST_OF_ONE_ACCOUNT, challenge, credential};
use crate::State;
use crate::caller::LoggedInAs;
use crate::credential::notice::{self, Change, NoticeError};
use crate::credential::proof::{Proof, ProofError};
use crate::name::Name;
use crate::owner;

/// What a client brings to the second step.
pub struct NewPasskey {
    token: String,
    name: Name,
    credential: RegisterPublicKeyCredential,
}

#[derive(Debug, Error)]
pub enum BeginError {
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("the account has as many passkeys as it may have")]
    TooMany,
    #[error("the challenge could not be made")]
    Webauthn(#[from] WebauthnError),
    #[error("the challenge could not be stored")]
    Database(#[from] sqlx::Error),
}

#[derive(Debug, Error)]
pub enum FinishError {
    /// Never there, used, expired, another account's, or begun by somebody who has been locked out since.
    #[error("no such registration is under way")]
    NotBegun,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("somebody has registered this passkey already")]
    Exists,
    #[error("the account has as many passkeys as it may have")]
    TooMany,
    #[error(transparent)]
    Notice(#[from] NoticeError),
    #[error("the passkey could not be stored")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for FinishError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("passkey_credential_unique") => Self::Exists,
            _ => Self::Database(error),
        }
    }
}

impl TryFrom<RegisterPasskeyRequest> for NewPasskey {
    type Error = Vec<FieldViolation>;

    fn try_from(request: RegisterPasskeyRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let token = credential::token(request.token).map_err(|violation| violations.push(violation));
        let name = Name::parse(request.name.as_deref().unwrap_or("Passkey"));
        let name = name.map_err(|violation| violations.push(violation));
        let credential = credential::parse(&request.credential).map_err(|violation| violations.push(violation));
        match (token, name, credential) {
            (Ok(token), Ok(name), Ok(credential)) => Ok(Self {
                token,
                name,
                credential,
            }),
            _ => Err(violations),
        }
    }
}

pub async fn begin(
    state: &State,
    caller: &LoggedInAs,
    proof: Proof,
    client: &Client,
) -> Result<PasskeyChallenge, BeginError> {
    let now = state.clock.now();
    let (mut transaction, owner) = proof.check(state, caller.account, client, now).await?;
    let existing = existing(&mut transaction, caller.account).await?;
    if existing.len() >= MOST_OF_ONE_ACCOUNT {
        return Err(BeginError::TooMany);
    }
    let (options, kept) = state.passkeys.begin_registration(owner.id, &owner.username, existing)?;
    let challenge = challenge::keep(&mut transaction, Some(caller.account), options, &kept, now).await?;
    transaction.commit().await?;
    Ok(challenge)
}

pub async fn finish(
    state: &State,
    caller: &LoggedInAs,
    new: NewPasskey,
    client: &Client,
) -> Result<proto::Passkey, FinishError> {
    let begun: PasskeyRegistration = challenge::take(state, &new.token, Some(caller.account))
        .await?
        .ok_or(FinishError::NotBegun)?;
    let passkey = state.passkeys.finish_registration(&new.credential, &begun)?;

    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let owner = owner::lock_for(&mut transaction, caller)
        .await?
        .ok_or(FinishError::NotBegun)?;
    if existing(&mut transaction, caller.account).await?.len() >= MOST_OF_ONE_ACCOUNT {
        return Err(FinishError::TooMany);
    }
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO authentication.passkey (id, account_id, credential_id, credential, name, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        id,
        caller.account,
        passkey.cred_id().as_slice(),
        Json(&passkey) as Json<&Passkey>,
        new.name.as_str(),
        now
    )
    .execute(&mut *transaction)
    .await?;
    notice::tell(&mut transaction, &owner, Change::PasskeyAdded(id), client, now).await?;
    transaction.commit().await?;
    tracing::info!(account = %caller.account, passkey = %id, "An account has a new passkey");
    Ok(proto::Passkey {
        id: id.to_string(),
        name: new.name.as_str().to_owned(),
        created_at: Some(timestamp(now)),
        last_used_at: None,
    })
}

/// The passkeys that an account has. While the account is locked, no other request adds one.
async fn existing(connection: &mut PgConnection, account: Uuid) -> Result<Vec<CredentialID>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT credential_id FROM authentication.passkey WHERE account_id = $1",
        account
    )
    .fetch_all(connection)
    .await
}

impl From<BeginError> for Status {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Proof(error) => error.into(),
            BeginError::TooMany => too_many(),
            BeginError::Webauthn(error) => reason::internal(&error),
            BeginError::Database(error) => database::failed(&error),
        }
    }
}

impl From<FinishError> for Status {
    fn from(error: FinishError) -> Self {
        match error {
            FinishError::NotBegun => reason::invalid(vec![FieldViolation::new(
                "token",
                "is of no registration that is under way",
            )]),
            FinishError::Refused(error) => {
                tracing::info!(error = &error as &dyn std::error::Error, "A new passkey was refused");
                reason::invalid(vec![FieldViolation::new(
                    "credential",
                    "is no answer to this registration",
                )])
            }
            FinishError::Exists => Reason::PasskeyExists.status("This passkey is registered already"),
            FinishError::TooMany => too_many(),
            FinishError::Notice(error) => error.into(),
            FinishError::Database(error) => database::failed(&error),
        }
    }
}

fn too_many() -> Status {
    Reason::TooManyPasskeys.status(format!(
        "An account has at most {MOST_OF_ONE_ACCOUNT} passkeys; remove one first"
    ))
}
