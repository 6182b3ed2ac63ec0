//! The mailbox of an account is its owner's: a code is sent there and shown here.

use chrono::{DateTime, Utc};
use service_kit::access::Client;
use service_kit::reason::{self, FieldViolation, Reason};
use service_kit::{database, event, outbox};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::events::v1::{EmailChanged, EmailVerificationRequested, SignupWithKnownEmail};

use crate::State;
use crate::announce;
use crate::audit::{self, Action, Entry};
use crate::email_code::{self, Purpose};
use crate::throttle::{self, ThrottleError};

#[derive(Debug, Error)]
pub enum VerifyError {
    #[error("there is no code")]
    Missing(FieldViolation),
    #[error("the code is not valid")]
    InvalidCode,
    #[error("the account has no address, or it is verified already")]
    NothingToVerify,
    #[error(transparent)]
    Throttle(#[from] ThrottleError),
    #[error("the event could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error("the account could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<VerifyError> for Status {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Missing(violation) => reason::invalid(vec![violation]),
            VerifyError::InvalidCode => {
                Reason::InvalidEmailedCode.status("The code is not valid any more; ask for another")
            }
            VerifyError::NothingToVerify => {
                Reason::NothingToVerify.status("Your account has no address that waits to be verified")
            }
            VerifyError::Throttle(error) => error.into(),
            VerifyError::Outbox(error) => reason::internal(&error),
            VerifyError::Database(error) => database::failed(&error),
        }
    }
}

/// What was sent to an address that an account claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    ForACode,
    /// The address is somebody else's, who was told.
    SomebodyElse,
}

/// Sends a code to an address that an account claims, as part of what claims it. Where somebody else has shown the address
/// to be theirs, they are told instead, and the one who claims it learns nothing.
pub async fn request(
    connection: &mut PgConnection,
    account: Uuid,
    username: &str,
    purpose: Purpose,
    email: &str,
    now: DateTime<Utc>,
) -> Result<Asked, outbox::EnqueueError> {
    let owner = owner_beside(&mut *connection, account, email).await?;
    let code = email_code::issue(connection, account, purpose, email, now).await?;
    if let Some(owner) = owner {
        // The code stays unknown to everybody. The owner is told, and reads it in their own language.
        let known = SignupWithKnownEmail {
            email: email.to_owned(),
        };
        announce::about(connection, owner, event::new(crate::NAME, now, &known)).await?;
        return Ok(Asked::SomebodyElse);
    }
    let requested = EmailVerificationRequested {
        account_id: account.to_string(),
        username: username.to_owned(),
        email: email.to_owned(),
        code: code.text,
        expires_at: Some(event::timestamp(code.expires_at)),
    };
    let event = event::expiring(crate::NAME, now, code.expires_at, &requested);
    announce::about(connection, account, event).await?;
    Ok(Asked::ForACode)
}

/// Whether another account has shown the address to be its owner's. Two accounts may have one owner, and a mailbox several readers.
pub async fn is_somebody_elses(connection: &mut PgConnection, account: Uuid, email: &str) -> Result<bool, sqlx::Error> {
    Ok(owner_beside(connection, account, email).await?.is_some())
}

/// Another account that has shown the address to be its owner's; the first one, where there are several.
async fn owner_beside(connection: &mut PgConnection, account: Uuid, email: &str) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM authentication.account
         WHERE lower(email) = lower($1) AND email_verified_at IS NOT NULL AND id <> $2
         ORDER BY email_verified_at, id LIMIT 1",
        email,
        account
    )
    .fetch_optional(connection)
    .await
}

/// Sends another code to the address that waits to be verified.
pub async fn resend(state: &State, account: Uuid, client: &Client) -> Result<(), VerifyError> {
    let email = {
        let mut connection = database::begin(&state.database).await?;
        unverified(&mut connection, account).await?.email
    };
    // Each mail counts, and so whatever becomes of this one it is not given back.
    let mailbox = email.to_lowercase();
    let _counted = state
        .throttle
        .reserve(throttle::Purpose::SendMail, client.address, Some(&mailbox))
        .await?;
    let mut transaction = database::begin(&state.database).await?;
    let now = state.clock.now();
    let claimed = unverified(&mut transaction, account).await?;
    // Another address meanwhile is another mailbox, which has its own count.
    if claimed.email != email {
        return Err(VerifyError::NothingToVerify);
    }
    request(
        &mut transaction,
        account,
        &claimed.username,
        Purpose::VerifyEmail,
        &email,
        now,
    )
    .await?;
    transaction.commit().await?;
    Ok(())
}

struct Claimed {
    username: String,
    email: String,
}

/// The address of an account that nobody has shown to read yet. The account is locked.
async fn unverified(connection: &mut PgConnection, account: Uuid) -> Result<Claimed, VerifyError> {
    sqlx::query_as!(
        Claimed,
        r#"SELECT username, email AS "email!" FROM authentication.account
           WHERE id = $1 AND email IS NOT NULL AND email_verified_at IS NULL
           FOR NO KEY UPDATE"#,
        account
    )
    .fetch_optional(connection)
    .await?
    .ok_or(VerifyError::NothingToVerify)
}

/// Takes a code for either purpose: an address that the account has, or one that it is to have.
pub async fn verify(state: &State, code: &str, client: &Client) -> Result<(), VerifyError> {
    email_code::required(code).map_err(VerifyError::Missing)?;
    let attempt = state
        .throttle
        .reserve(throttle::Purpose::EmailedCode, client.address, None)
        .await?;
    let shown = show(state, code, client).await;
    match &shown {
        // It stays counted.
        Err(VerifyError::InvalidCode) => {}
        Ok(()) | Err(_) => attempt.give_back().await,
    }
    shown
}

async fn show(state: &State, code: &str, client: &Client) -> Result<(), VerifyError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    if let Some(code) = email_code::redeem(&mut transaction, Purpose::VerifyEmail, code, now).await? {
        let verified = sqlx::query!(
            "UPDATE authentication.account SET email_verified_at = $3, revision = revision + 1
             WHERE id = $1 AND lower(email) = lower($2)",
            code.account,
            code.email,
            now
        )
        .execute(&mut *transaction)
        .await?;
        if verified.rows_affected() == 0 {
            return Err(VerifyError::InvalidCode);
        }
        let entry = Entry::new(Action::EmailVerified, now, client).on(code.account);
        audit::record(&mut transaction, entry).await?;
    } else if let Some(code) = email_code::redeem(&mut transaction, Purpose::ChangeEmail, code, now).await? {
        change(&mut transaction, code.account, code.email, client, now).await?;
    } else {
        return Err(VerifyError::InvalidCode);
    }
    transaction.commit().await?;
    Ok(())
}

/// The account has the address from now on; the old one is told, where it was shown to be its owner's.
async fn change(
    connection: &mut PgConnection,
    account: Uuid,
    email: String,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<(), VerifyError> {
    let row = sqlx::query!(
        "WITH before AS (SELECT id, email, email_verified_at FROM authentication.account WHERE id = $1)
         UPDATE authentication.account
         SET email = $2, email_verified_at = $3, revision = revision + 1
         FROM before WHERE account.id = before.id AND disabled_at IS NULL
         RETURNING username, CASE WHEN before.email_verified_at IS NOT NULL THEN before.email END AS \"old_email?\"",
        account,
        email,
        now
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(VerifyError::InvalidCode)?;
    // What was sent to the old address lets nobody in any more.
    email_code::withdraw(connection, account, &[Purpose::VerifyEmail, Purpose::ResetPassword]).await?;
    let entry = Entry::new(Action::EmailChanged, now, client).on(account);
    audit::record(connection, entry).await?;
    let changed = EmailChanged {
        account_id: account.to_string(),
        username: row.username,
        old_email: row.old_email,
        new_email: email,
    };
    announce::about(connection, account, event::new(crate::NAME, now, &changed)).await?;
    Ok(())
}
