//! The second step of a login. Whoever had the right password gets a token instead of a session, and a session for the
//! token and a code. The token is good for five minutes and five codes, once, and only as long as the password is the one
//! that was right.

use std::time::Duration;

use chrono::{DateTime, Utc};
use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::{FinishLogInRequest, SecondFactorRequired};

use super::code::{self, CodeError, Method, Tried};
use crate::State;
use crate::account::Account;
use crate::audit::{self, Action, Entry};
use crate::credential::proof::{WRONG, has_totp, too_many};
use crate::housekeeping::{BATCH, in_batches};
use crate::password_hash::PasswordHash;
use crate::random_token::{self, CHALLENGE_LIFETIME, CHALLENGE_SECONDS, RandomToken};
use crate::recovery_code;
use crate::session::LoggedIn;
use crate::sign_in::{self, Proof, SignInError};
use crate::throttle::Network;

/// Codes that one challenge takes.
const MOST_ATTEMPTS: i32 = 5;

/// Challenges that are open for one account and one network; one more takes the place of the oldest. Each costs a right password
/// and nothing else. Counted by network, so that nobody who has the password takes the owner's away from elsewhere.
const MOST_OPEN: i64 = 10;

/// What a client brings to the second step.
pub struct Answer {
    token: String,
    code: String,
}

#[derive(Debug, Error)]
pub enum FinishError {
    /// Never there, used, expired, tried too often, or for a password that is no more: which of them is of no use to anybody
    /// but an attacker.
    #[error("there is no such challenge")]
    NoChallenge,
    #[error("the code is not right")]
    WrongCode,
    #[error("there were too many wrong codes")]
    TooMany(Duration),
    #[error("an administrator demands another password")]
    PasswordResetRequired,
    #[error(transparent)]
    Code(#[from] CodeError),
    #[error(transparent)]
    SignIn(#[from] SignInError),
    #[error("the login could not be finished")]
    Database(#[from] sqlx::Error),
}

impl TryFrom<FinishLogInRequest> for Answer {
    type Error = Vec<FieldViolation>;

    fn try_from(request: FinishLogInRequest) -> Result<Self, Self::Error> {
        let missing: Vec<_> = [("token", &request.token), ("code", &request.code)]
            .into_iter()
            .filter(|(_, value)| value.is_empty())
            .map(|(field, _)| FieldViolation::new(field, "is required"))
            .collect();
        if missing.is_empty() {
            Ok(Self {
                token: request.token,
                code: request.code,
            })
        } else {
            Err(missing)
        }
    }
}

/// A challenge for an account whose password was right, where it has an authenticator app; nothing where the password is
/// enough.
pub async fn open(
    connection: &mut PgConnection,
    account: Uuid,
    password: &PasswordHash,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<Option<SecondFactorRequired>, CodeError> {
    if !has_totp(connection, account).await? {
        return Ok(None);
    }
    let (token, network) = (RandomToken::generate(), Network::of(client.address));
    sqlx::query!(
        "WITH surplus AS (
             DELETE FROM authentication.login_challenge WHERE token IN (
                 SELECT token FROM authentication.login_challenge
                 WHERE account_id = $2 AND network = $5
                 ORDER BY expires_at DESC, token OFFSET $6
                 FOR UPDATE SKIP LOCKED
             )
         )
         INSERT INTO authentication.login_challenge (token, account_id, password_mark, expires_at, network)
         VALUES ($1, $2, $3, $4, $5)",
        token.hash(),
        account,
        mark(password),
        now + CHALLENGE_LIFETIME,
        network.as_str(),
        MOST_OPEN - 1
    )
    .execute(&mut *connection)
    .await?;
    let mut methods = vec![Method::Totp.as_str().to_owned()];
    if recovery_code::left(connection, account).await? > 0 {
        methods.push(Method::RecoveryCode.as_str().to_owned());
    }
    Ok(Some(SecondFactorRequired {
        token: token.into_text(),
        methods,
        expires_in: CHALLENGE_SECONDS,
    }))
}

/// Starts the session that the password alone did not.
pub async fn finish(state: &State, answer: &Answer, client: &Client) -> Result<LoggedIn, FinishError> {
    let now = state.clock.now();
    let token = random_token::hash(&answer.token);
    let mut transaction = database::begin(&state.database).await?;
    let account = lock_account(&mut transaction, &token, now)
        .await?
        .ok_or(FinishError::NoChallenge)?;
    if !count_attempt(&mut transaction, &token, &account.password_mark).await? {
        return Err(FinishError::NoChallenge);
    }
    let tried = code::try_code(&mut transaction, &state.sealing, account.account.id, &answer.code, now).await?;
    let method = match tried {
        Tried::Accepted(method) => method,
        // Not counted: the code was not looked at.
        Tried::TooMany(wait) => return Err(FinishError::TooMany(wait)),
        Tried::NotSetUp => return Err(FinishError::NoChallenge),
        Tried::Wrong => {
            let entry = Entry::new(Action::SecondFactorFailed, now, client).on(account.account.id);
            audit::record(&mut transaction, entry).await?;
            transaction.commit().await?;
            return Err(FinishError::WrongCode);
        }
    };
    if account.password_reset_required {
        // The code was right, and has been used.
        transaction.commit().await?;
        return Err(FinishError::PasswordResetRequired);
    }
    close(&mut transaction, &token).await?;
    let proof = Proof::SecondFactor(method);
    let logged_in = sign_in::sign_in(&mut transaction, state, account.account, proof, client, now).await?;
    transaction.commit().await?;
    state.throttle.forgive(client.address, &account.username_key).await;
    tracing::info!(account = %logged_in.account.id, method = method.as_str(), "An account logged in with its second factor");
    Ok(logged_in)
}

/// What a challenge remembers of a password, so that it is void with any other.
fn mark(password: &PasswordHash) -> Vec<u8> {
    Sha256::digest(password.as_str()).to_vec()
}

struct Challenged {
    account: Account,
    username_key: String,
    password_mark: Vec<u8>,
    password_reset_required: bool,
}

/// The account of a challenge, as it is now and stays until the session is there. It is locked before the challenge, as by
/// whoever deletes the account.
async fn lock_account(
    connection: &mut PgConnection,
    token: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<Challenged>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT account.id, username, username_key, roles, site_groups, password_hash, password_reset_required
         FROM authentication.account JOIN authentication.login_challenge ON account_id = account.id
         WHERE token = $1 AND expires_at > $2 AND disabled_at IS NULL
         FOR SHARE OF account",
        token,
        now
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Challenged {
        account: Account {
            id: row.id,
            username: row.username,
            roles: row.roles,
            site_groups: row.site_groups,
        },
        username_key: row.username_key,
        password_mark: mark(&row.password_hash.into()),
        password_reset_required: row.password_reset_required,
    }))
}

async fn count_attempt(connection: &mut PgConnection, token: &[u8], password_mark: &[u8]) -> Result<bool, sqlx::Error> {
    let counted = sqlx::query!(
        "UPDATE authentication.login_challenge SET attempts = attempts + 1
         WHERE token = $1 AND password_mark = $2 AND attempts < $3",
        token,
        password_mark,
        MOST_ATTEMPTS
    )
    .execute(connection)
    .await?;
    Ok(counted.rows_affected() == 1)
}

async fn close(connection: &mut PgConnection, token: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM authentication.login_challenge WHERE token = $1", token)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes challenges that nobody has met in time.
pub async fn remove_expired(state: &State) -> Result<(), sqlx::Error> {
    in_batches(|| {
        sqlx::query!(
            "DELETE FROM authentication.login_challenge WHERE token IN (
                 SELECT token FROM authentication.login_challenge WHERE expires_at <= $1
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
             )",
            state.clock.now(),
            BATCH
        )
        .execute(&state.database)
    })
    .await
}

impl From<FinishError> for Status {
    fn from(error: FinishError) -> Self {
        match error {
            FinishError::NoChallenge => {
                Reason::InvalidChallenge.status("This login cannot be finished any more; log in again")
            }
            FinishError::WrongCode => Reason::InvalidCode.status(WRONG),
            FinishError::TooMany(wait) => too_many(wait),
            FinishError::PasswordResetRequired => Reason::PasswordResetRequired
                .status("An administrator demands another password: use the way for forgotten ones"),
            FinishError::Code(error) => error.into(),
            FinishError::SignIn(error) => error.into(),
            FinishError::Database(error) => database::failed(&error),
        }
    }
}
