//! An authenticator app is set up in two steps: a secret for the app, and the app's first code, which shows that it has
//! understood. Until then nothing is different for the account, so that nobody locks themselves out by half a set-up.

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::{ConfirmTotpRequest, TotpSetup};

use super::code::{self, CodeError};
use crate::State;
use crate::caller::LoggedInAs;
use crate::credential::notice::{self, Change, NoticeError};
use crate::credential::proof::{Proof, ProofError, WRONG};
use crate::owner;
use crate::recovery_code::{self, RecoveryCode};
use crate::totp::{self, NotShown, TotpSecret};
use service_kit::sealing::DoesNotOpen;

/// How long the second step may take.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The same in seconds, as clients are told.
const LIFETIME_SECONDS: i32 = 600;

/// Wrong codes after which it has to be begun anew, so that nobody with a session guesses the first code of a secret that the
/// owner has begun to set up.
const MOST_WRONG_CODES: i32 = 5;

#[derive(Debug, Error)]
pub enum BeginError {
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("the account has an authenticator app already")]
    Exists,
    #[error(transparent)]
    NotShown(#[from] NotShown),
    #[error(transparent)]
    Sealing(#[from] DoesNotOpen),
    #[error("the secret could not be stored")]
    Database(#[from] sqlx::Error),
}

#[derive(Debug, Error)]
pub enum ConfirmError {
    /// Or whoever began it has been locked out since.
    #[error("no set-up is under way")]
    NotBegun,
    #[error("the account has an authenticator app already")]
    Exists,
    #[error("the code is not right")]
    WrongCode,
    #[error(transparent)]
    Notice(#[from] NoticeError),
    #[error(transparent)]
    Code(#[from] CodeError),
}

impl From<sqlx::Error> for ConfirmError {
    fn from(error: sqlx::Error) -> Self {
        Self::Code(error.into())
    }
}

/// The code of a request.
pub fn code(request: ConfirmTotpRequest) -> Result<String, Vec<FieldViolation>> {
    match request.code.as_str() {
        "" => Err(vec![FieldViolation::new("code", "is required")]),
        code if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) => Ok(request.code),
        _ => Err(vec![FieldViolation::new("code", "must be six digits")]),
    }
}

/// Makes a secret, in place of one that was made before and never confirmed.
pub async fn begin(state: &State, caller: &LoggedInAs, proof: Proof, client: &Client) -> Result<TotpSetup, BeginError> {
    let now = state.clock.now();
    // Checked first: to an account with an app, a password alone is no proof, and it need not say more.
    let (mut transaction, owner) = match proof.check(state, caller.account, client, now).await {
        Err(ProofError::CodeMissing) => return Err(BeginError::Exists),
        checked => checked?,
    };
    let secret = TotpSecret::generate();
    let sealed = state.sealing.seal(secret.as_bytes(), &code::owner(caller.account))?;
    if !store(&mut transaction, caller.account, &sealed, now).await? {
        return Err(BeginError::Exists);
    }
    let otpauth_uri = secret.uri(&state.site_name, &owner.username)?;
    let set_up = TotpSetup {
        secret: secret.base32(),
        qr_code: totp::qr_code(&otpauth_uri)?,
        otpauth_uri,
        expires_in: LIFETIME_SECONDS,
    };
    transaction.commit().await?;
    tracing::info!(account = %caller.account, "An account begins to set up an authenticator app");
    Ok(set_up)
}

/// Does nothing where the account has an app in force.
async fn store(
    connection: &mut PgConnection,
    account: Uuid,
    sealed_secret: &[u8],
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let stored = sqlx::query!(
        "INSERT INTO authentication.totp (account_id, sealed_secret, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (account_id) DO UPDATE SET sealed_secret = $2, created_at = $3, wrong_codes = 0
         WHERE totp.confirmed_at IS NULL",
        account,
        sealed_secret,
        now
    )
    .execute(connection)
    .await?;
    Ok(stored.rows_affected() == 1)
}

/// Puts the app in force where the code is right. From then on a login asks for one.
pub async fn confirm(
    state: &State,
    caller: &LoggedInAs,
    code: &str,
    client: &Client,
) -> Result<Vec<RecoveryCode>, ConfirmError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let owner = owner::lock_for(&mut transaction, caller)
        .await?
        .ok_or(ConfirmError::NotBegun)?;
    let begun = lock(&mut transaction, caller.account)
        .await?
        .ok_or(ConfirmError::NotBegun)?;
    if begun.confirmed_at.is_some() {
        return Err(ConfirmError::Exists);
    }
    if begun.created_at + LIFETIME <= now {
        return Err(ConfirmError::NotBegun);
    }
    let secret = state
        .sealing
        .open(&begun.sealed_secret, &code::owner(caller.account))
        .map_err(CodeError::from)?;
    let secret = TotpSecret::from_bytes(&secret).ok_or(CodeError::Sealed(DoesNotOpen))?;
    let Some(step) = secret.step(code, now, None) else {
        count_wrong_code(&mut transaction, caller.account, begun.wrong_codes + 1).await?;
        transaction.commit().await?;
        return Err(ConfirmError::WrongCode);
    };
    put_in_force(&mut transaction, caller.account, step, now).await?;
    let codes = recovery_code::renew(&mut transaction, caller.account).await?;
    notice::tell(&mut transaction, &owner, Change::TotpAdded, client, now).await?;
    transaction.commit().await?;
    tracing::info!(account = %caller.account, "An account has an authenticator app");
    Ok(codes)
}

struct Begun {
    sealed_secret: Vec<u8>,
    created_at: DateTime<Utc>,
    confirmed_at: Option<DateTime<Utc>>,
    wrong_codes: i32,
}

async fn lock(connection: &mut PgConnection, account: Uuid) -> Result<Option<Begun>, sqlx::Error> {
    sqlx::query_as!(
        Begun,
        "SELECT sealed_secret, created_at, confirmed_at, wrong_codes FROM authentication.totp
         WHERE account_id = $1 FOR UPDATE",
        account
    )
    .fetch_optional(connection)
    .await
}

async fn count_wrong_code(connection: &mut PgConnection, account: Uuid, wrong_codes: i32) -> Result<(), sqlx::Error> {
    if wrong_codes < MOST_WRONG_CODES {
        sqlx::query!(
            "UPDATE authentication.totp SET wrong_codes = $2 WHERE account_id = $1",
            account,
            wrong_codes
        )
        .execute(connection)
        .await?;
    } else {
        sqlx::query!("DELETE FROM authentication.totp WHERE account_id = $1", account)
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn put_in_force(
    connection: &mut PgConnection,
    account: Uuid,
    step: i64,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE authentication.totp SET confirmed_at = $2, last_step = $3, wrong_codes = 0 WHERE account_id = $1",
        account,
        now,
        step
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl From<BeginError> for Status {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Proof(error) => error.into(),
            BeginError::Exists => exists(),
            BeginError::NotShown(_) | BeginError::Sealing(_) => reason::internal(&error),
            BeginError::Database(error) => database::failed(&error),
        }
    }
}

impl From<ConfirmError> for Status {
    fn from(error: ConfirmError) -> Self {
        match error {
            ConfirmError::NotBegun => {
                Reason::NotFound.status("No set-up of an authenticator app is under way; begin one")
            }
            ConfirmError::Exists => exists(),
            ConfirmError::WrongCode => Reason::WrongCode.status(WRONG),
            ConfirmError::Notice(error) => error.into(),
            ConfirmError::Code(error) => error.into(),
        }
    }
}

fn exists() -> Status {
    Reason::TotpExists.status("The account has an authenticator app; take it away before you set up another")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_how_long_the_set_up_may_take() {
        assert_eq!(LIFETIME.num_seconds(), i64::from(LIFETIME_SECONDS));
    }

    #[test]
    fn only_six_digits_are_tried_as_a_first_code() {
        let code = |text: &str| code(ConfirmTotpRequest { code: text.to_owned() }).ok();
        assert_eq!(code("012345").as_deref(), Some("012345"));
        for text in ["", "12345", "1234567", "12345a", "１２３４５６", "7k3m-9q2x-hv4t-0dwr"] {
            assert_eq!(code(text), None, "{text}");
        }
    }
}
