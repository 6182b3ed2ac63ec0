//! Log in with a passkey. The device chooses the passkey and has made sure of the person, so this is a whole login: no
//! username before it, no second factor after it.

use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use sqlx::PgConnection;
use sqlx::types::Json;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::{FinishPasskeyLogInRequest, PasskeyChallenge};
use webauthn_rs::prelude::{DiscoverableAuthentication, Passkey, PublicKeyCredential, WebauthnError};

use super::relying_party::Refused;
use super::{challenge, credential};
use crate::State;
use crate::account::Account;
use crate::audit::{self, Action, Entry};
use crate::session::LoggedIn;
use crate::sign_in::{self, Proof, SignInError};
use crate::throttle::{Purpose, ThrottleError};

/// What a client brings to the second step.
pub struct Assertion {
    token: String,
    credential: PublicKeyCredential,
}

#[derive(Debug, Error)]
pub enum BeginError {
    #[error(transparent)]
    Throttled(#[from] ThrottleError),
    #[error("the challenge could not be made")]
    Webauthn(#[from] WebauthnError),
    #[error("the challenge could not be stored")]
    Database(#[from] sqlx::Error),
}

#[derive(Debug, Error)]
pub enum FinishError {
    #[error(transparent)]
    Throttled(#[from] ThrottleError),
    /// Never there, used, or expired.
    #[error("no such login is under way")]
    NotBegun,
    #[error("no account has this passkey")]
    Unknown,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("an administrator demands another password")]
    PasswordResetRequired,
    #[error(transparent)]
    SignIn(#[from] SignInError),
    #[error("the passkey could not be looked up")]
    Database(#[from] sqlx::Error),
}

impl TryFrom<FinishPasskeyLogInRequest> for Assertion {
    type Error = Vec<FieldViolation>;

    fn try_from(request: FinishPasskeyLogInRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let token = credential::token(request.token).map_err(|violation| violations.push(violation));
        let credential = credential::parse(&request.credential).map_err(|violation| violations.push(violation));
        match (token, credential) {
            (Ok(token), Ok(credential)) => Ok(Self { token, credential }),
            _ => Err(violations),
        }
    }
}

pub async fn begin(state: &State, client: &Client) -> Result<PasskeyChallenge, BeginError> {
    // Everyone counts, and so it is not given back: each is a row until it is answered or too old.
    let _counted = state
        .throttle
        .reserve(Purpose::PasskeyChallenge, client.address, None)
        .await?;
    let (options, kept) = state.passkeys.begin_log_in()?;
    let mut transaction = database::begin(&state.database).await?;
    let challenge = challenge::keep(&mut transaction, None, options, &kept, state.clock.now()).await?;
    transaction.commit().await?;
    Ok(challenge)
}

pub async fn finish(state: &State, assertion: Assertion, client: &Client) -> Result<LoggedIn, FinishError> {
    let attempt = state.throttle.reserve(Purpose::Passkey, client.address, None).await?;
    let result = check(state, assertion, client).await;
    match &result {
        // It stays counted.
        Err(FinishError::NotBegun | FinishError::Unknown | FinishError::Refused(_)) => {}
        Ok(_) | Err(_) => attempt.give_back().await,
    }
    result
}

async fn check(state: &State, assertion: Assertion, client: &Client) -> Result<LoggedIn, FinishError> {
    let begun: DiscoverableAuthentication = challenge::take(state, &assertion.token, None)
        .await?
        .ok_or(FinishError::NotBegun)?;
    let (account, credential_id) = state
        .passkeys
        .identify(&assertion.credential)
        .ok_or(FinishError::Unknown)?;

    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    // The passkey is locked until its counter is stored: of two answers with one count, the second is refused.
    let mut found = lock(&mut transaction, account, credential_id)
        .await?
        .ok_or(FinishError::Unknown)?;
    let verified = match state
        .passkeys
        .finish_log_in(&assertion.credential, begun, &found.passkey)
    {
        Ok(verified) => verified,
        Err(refused) => {
            if let Refused::Webauthn(WebauthnError::CredentialPossibleCompromise) = refused {
                tracing::warn!(account = %account, passkey = %found.id, "A passkey's counter went back: there may be a copy of it");
                let entry = Entry::new(Action::PasskeySuspected, now, client)
                    .on(account)
                    .with("passkey", found.id.to_string());
                audit::record(&mut transaction, entry).await?;
                transaction.commit().await?;
            }
            return Err(refused.into());
        }
    };
    found.passkey.update_credential(&verified);
    sqlx::query!(
        "UPDATE authentication.passkey SET credential = $2, last_used_at = $3 WHERE id = $1",
        found.id,
        Json(&found.passkey) as Json<&Passkey>,
        now
    )
    .execute(&mut *transaction)
    .await?;
    if found.password_reset_required {
        // The passkey has signed all the same, and its counter has moved on.
        transaction.commit().await?;
        return Err(FinishError::PasswordResetRequired);
    }
    let proof = Proof::Passkey(found.id);
    let logged_in = sign_in::sign_in(&mut transaction, state, found.account, proof, client, now).await?;
    transaction.commit().await?;
    tracing::info!(account = %account, passkey = %found.id, "An account logged in with a passkey");
    Ok(logged_in)
}

struct Found {
    id: Uuid,
    passkey: Passkey,
    account: Account,
    password_reset_required: bool,
}

/// The passkey, if the account that it names as its owner is its owner. The account stays as it is until the session is
/// there.
async fn lock(
    connection: &mut PgConnection,
    account: Uuid,
    credential_id: &[u8],
) -> Result<Option<Found>, sqlx::Error> {
    let owner = sqlx::query!(
        "SELECT username, roles, site_groups, password_reset_required FROM authentication.account
         WHERE id = $1 AND disabled_at IS NULL
         FOR SHARE",
        account
    )
    .fetch_optional(&mut *connection)
    .await?;
    let passkey = sqlx::query!(
        r#"SELECT id, credential AS "credential: Json<Passkey>" FROM authentication.passkey
           WHERE credential_id = $1 AND account_id = $2
           FOR UPDATE"#,
        credential_id,
        account
    )
    .fetch_optional(connection)
    .await?;
    Ok(owner.zip(passkey).map(|(owner, passkey)| Found {
        id: passkey.id,
        passkey: passkey.credential.0,
        account: Account {
            id: account,
            username: owner.username,
            roles: owner.roles,
            site_groups: owner.site_groups,
        },
        password_reset_required: owner.password_reset_required,
    }))
}

impl From<BeginError> for Status {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Throttled(error) => error.into(),
            BeginError::Webauthn(error) => reason::internal(&error),
            BeginError::Database(error) => database::failed(&error),
        }
    }
}

impl From<FinishError> for Status {
    fn from(error: FinishError) -> Self {
        match error {
            FinishError::Throttled(error) => error.into(),
            FinishError::NotBegun | FinishError::Unknown => refused(),
            FinishError::Refused(error) => {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    "A login with a passkey was refused"
                );
                refused()
            }
            FinishError::PasswordResetRequired => Reason::PasswordResetRequired
                .status("An administrator demands another password: use the way for forgotten ones"),
            FinishError::SignIn(error) => error.into(),
            FinishError::Database(error) => database::failed(&error),
        }
    }
}

/// One text for whatever was wrong.
fn refused() -> Status {
    Reason::PasskeyRefused.status("The passkey was not accepted; try again from the start")
}
