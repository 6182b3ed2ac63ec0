//! Codes that prove that somebody reads a mailbox: 256 random bits, sent by mail, good once, and kept as a hash only.

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::reason::FieldViolation;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::State;
use crate::account;
use crate::housekeeping::{BATCH, in_batches};
use crate::random_token::{self, RandomToken};

/// What a code is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The account's address is its owner's.
    VerifyEmail,
    /// The address that the account is to have is its owner's.
    ChangeEmail,
    /// A new password may be set.
    ResetPassword,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify-email",
            Self::ChangeEmail => "change-email",
            Self::ResetPassword => "reset-password",
        }
    }

    fn lifetime(self) -> TimeDelta {
        match self {
            Self::VerifyEmail | Self::ChangeEmail => TimeDelta::hours(24),
            Self::ResetPassword => TimeDelta::minutes(10),
        }
    }
}

/// A code on its way into a mail.
pub struct Code {
    /// Url-safe.
    pub text: String,
    pub expires_at: DateTime<Utc>,
}

/// What a code that somebody showed is good for.
pub struct Redeemed {
    pub account: Uuid,
    pub email: String,
}

/// Makes a code. An earlier one of the same account and purpose is good no more.
pub async fn issue(
    connection: &mut PgConnection,
    account: Uuid,
    purpose: Purpose,
    email: &str,
    now: DateTime<Utc>,
) -> Result<Code, sqlx::Error> {
    let token = RandomToken::generate();
    let expires_at = now + purpose.lifetime();
    sqlx::query!(
        "INSERT INTO authentication.email_code (account_id, purpose, code, email, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (account_id, purpose) DO UPDATE
         SET code = excluded.code, email = excluded.email, created_at = excluded.created_at, expires_at = excluded.expires_at",
        account,
        purpose.as_str(),
        token.hash(),
        email,
        now,
        expires_at
    )
    .execute(connection)
    .await?;
    Ok(Code {
        text: token.into_text(),
        expires_at,
    })
}

/// What a code is good for, without using it up.
pub async fn look_up(
    connection: &mut PgConnection,
    purpose: Purpose,
    text: &str,
    now: DateTime<Utc>,
) -> Result<Option<Redeemed>, sqlx::Error> {
    sqlx::query_as!(
        Redeemed,
        "SELECT account_id AS account, email FROM authentication.email_code
         WHERE code = $1 AND purpose = $2 AND expires_at > $3",
        random_token::hash(text),
        purpose.as_str(),
        now
    )
    .fetch_optional(connection)
    .await
}

/// Uses a code up, with its account locked from here on. Of several who show it at once one gets it. The account is locked before
/// the code, as by whoever changes an account and withdraws its codes.
pub async fn redeem(
    connection: &mut PgConnection,
    purpose: Purpose,
    text: &str,
    now: DateTime<Utc>,
) -> Result<Option<Redeemed>, sqlx::Error> {
    let Some(found) = look_up(&mut *connection, purpose, text, now).await? else {
        return Ok(None);
    };
    account::lock(connection, found.account).await?;
    sqlx::query_as!(
        Redeemed,
        "DELETE FROM authentication.email_code
         WHERE code = $1 AND purpose = $2 AND expires_at > $3
         RETURNING account_id AS account, email",
        random_token::hash(text),
        purpose.as_str(),
        now
    )
    .fetch_optional(connection)
    .await
}

/// What leads into an account: a new password, or another address, which leads to a new password. Whoever takes an account back
/// withdraws both, for either may have been sent to somebody else.
pub const WAYS_IN: [Purpose; 2] = [Purpose::ChangeEmail, Purpose::ResetPassword];

/// Takes back what was sent for these purposes and not used. The caller has locked the account's row, so that nobody sends
/// another one meanwhile.
pub async fn withdraw(connection: &mut PgConnection, account: Uuid, purposes: &[Purpose]) -> Result<(), sqlx::Error> {
    let purposes: Vec<_> = purposes.iter().map(|purpose| purpose.as_str().to_owned()).collect();
    sqlx::query!(
        "DELETE FROM authentication.email_code WHERE account_id = $1 AND purpose = ANY ($2)",
        account,
        &purposes
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The code of a request. What it has to look like is not said: it is right or it is not.
pub fn required(code: &str) -> Result<(), FieldViolation> {
    if code.is_empty() {
        return Err(FieldViolation::new("code", "is required"));
    }
    Ok(())
}

/// Removes what nobody can use any more.
pub async fn remove_expired(state: &State) -> Result<(), sqlx::Error> {
    in_batches(|| {
        sqlx::query!(
            "DELETE FROM authentication.email_code WHERE (account_id, purpose) IN (
                 SELECT account_id, purpose FROM authentication.email_code WHERE expires_at <= $1
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
             )",
            state.clock.now(),
            BATCH
        )
        .execute(&state.database)
    })
    .await
}
