//! The proof that whoever changes what an account proves itself by, or where its mail goes, or deletes it, is its owner, and not
//! somebody who found a session open: the password once more, and a code where the account has an authenticator app.

use std::time::Duration;

use chrono::{DateTime, Utc};
use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use sqlx::{PgConnection, Postgres, Transaction};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use crate::State;
use crate::audit::{self, Action, Entry};
use crate::owner::Owner;
use crate::reauthentication::{self, Reauthenticated, ReauthenticationError};
use crate::second_factor::code::{self, CodeError, Tried};
use crate::throttle;

/// What the person reads whose code is wrong.
pub const WRONG: &str = "The code is not right, or was used before";

/// What somebody typed.
pub struct Proof {
    password: String,
    code: Option<String>,
}

#[derive(Debug, Error)]
pub enum ProofError {
    #[error(transparent)]
    Password(#[from] ReauthenticationError),
    #[error("the account has an authenticator app, and no code was given")]
    CodeMissing,
    #[error("the code is not right")]
    WrongCode,
    #[error("there were too many wrong codes")]
    TooMany(Duration),
    #[error(transparent)]
    Code(#[from] CodeError),
    #[error("the proof could not be looked at")]
    Database(#[from] sqlx::Error),
}

impl Proof {
    pub fn by_password(password: String) -> Result<Self, Vec<FieldViolation>> {
        Self::new(password, None)
    }

    pub fn by_password_and_code(password: String, code: String) -> Result<Self, Vec<FieldViolation>> {
        Self::new(password, Some(code))
    }

    /// With a code where its account needs one.
    pub fn new(password: String, code: Option<String>) -> Result<Self, Vec<FieldViolation>> {
        Self::of_fields("password", password, code)
    }

    /// The same, from a request in which the password goes by another name.
    pub fn of_fields(field: &str, password: String, code: Option<String>) -> Result<Self, Vec<FieldViolation>> {
        let mut violations = Vec::new();
        if password.is_empty() {
            violations.push(FieldViolation::new(field, "is required"));
        }
        if code.as_ref().is_some_and(String::is_empty) {
            violations.push(FieldViolation::new("code", "is required"));
        }
        if violations.is_empty() {
            Ok(Self { password, code })
        } else {
            Err(violations)
        }
    }

    /// Checks the proof, and begins the transaction of the change that it is for, with the account locked. A code that was
    /// wrong is counted, although nothing else comes of it.
    pub async fn check(
        self,
        state: &State,
        account: Uuid,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<(Transaction<'static, Postgres>, Owner), ProofError> {
        let half = self.check_password(state, account, client).await?;
        let transaction = database::begin(&state.database).await?;
        half.check_code(transaction, state, client, now).await
    }

    /// Checks the password only, for a change with something to do before its transaction locks the account.
    pub async fn check_password(self, state: &State, account: Uuid, client: &Client) -> Result<HalfProven, ProofError> {
        let shown = reauthentication::require(state, account, client, self.password).await?;
        Ok(HalfProven { shown, code: self.code })
    }
}

/// The password was right.
#[must_use = "half a proof is none"]
pub struct HalfProven {
    shown: Reauthenticated,
    code: Option<String>,
}

impl HalfProven {
    /// Checks the code, and gives the transaction back with the account locked.
    pub async fn check_code(
        self,
        mut transaction: Transaction<'static, Postgres>,
        state: &State,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<(Transaction<'static, Postgres>, Owner), ProofError> {
        let owner = self.shown.lock(&mut transaction).await?;
        let Some(code) = self.code else {
            return if has_totp(&mut transaction, owner.id).await? {
                Err(ProofError::CodeMissing)
            } else {
                Ok((transaction, owner))
            };
        };
        match code::try_code(&mut transaction, &state.sealing, owner.id, &code, now).await? {
            Tried::Accepted(_) | Tried::NotSetUp => Ok((transaction, owner)),
            Tried::TooMany(wait) => Err(ProofError::TooMany(wait)),
            Tried::Wrong => {
                let entry = Entry::new(Action::SecondFactorFailed, now, client)
                    .by(owner.id)
                    .on(owner.id);
                audit::record(&mut transaction, entry).await?;
                transaction.commit().await?;
                Err(ProofError::WrongCode)
            }
        }
    }
}

/// Whether a login of the account asks for a code.
pub async fn has_totp(connection: &mut PgConnection, account: Uuid) -> Result<bool, CodeError> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM authentication.totp WHERE account_id = $1 AND confirmed_at IS NOT NULL
           ) AS "exists!""#,
        account
    )
    .fetch_one(connection)
    .await?;
    Ok(found)
}

impl From<ProofError> for Status {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Password(error) => error.into(),
            ProofError::CodeMissing => reason::invalid(vec![FieldViolation::new(
                "code",
                "is required, as the account has an authenticator app",
            )]),
            ProofError::WrongCode => Reason::WrongCode.status(WRONG),
            ProofError::TooMany(wait) => too_many(wait),
            ProofError::Code(error) => error.into(),
            ProofError::Database(error) => database::failed(&error),
        }
    }
}

/// Too many wrong codes.
pub fn too_many(wait: Duration) -> Status {
    let message = "There were too many wrong codes; wait, or use a recovery code";
    throttle::too_many("code", code::QUOTA_AND_WINDOW, wait, message)
}

impl From<CodeError> for Status {
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::Sealed(_) => reason::internal(&error),
            CodeError::Database(error) => database::failed(&error),
        }
    }
}
