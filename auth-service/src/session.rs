//! Sessions: one for each login. A session begins with the access token that it hands out and ends with it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use thiserror::Error;
use uuid::Uuid;

use crate::access_token::AccessTokens;
use crate::account::Account;

/// What a signup or a login leads to.
pub struct LoggedIn {
    pub account: Account,
    pub access_token: String,
    pub expires_in: Duration,
}

#[derive(Debug, Error)]
pub enum SessionError {
    #[error("the access token could not be signed")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("the session could not be stored")]
    Database(#[from] sqlx::Error),
}

/// Starts a session. Those of the same account that have ended are removed on the way, so that the table grows with the
/// accounts in use and not with their logins.
pub async fn start(
    connection: &mut PgConnection,
    tokens: &AccessTokens,
    account: Account,
    now: DateTime<Utc>,
) -> Result<LoggedIn, SessionError> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "WITH ended AS (DELETE FROM authentication.session WHERE account_id = $2 AND expires_at <= $3)
         INSERT INTO authentication.session (id, account_id, started_at, expires_at) VALUES ($1, $2, $3, $4)",
        id,
        account.id,
        now,
        now + tokens.lifetime
    )
    .execute(connection)
    .await?;
    let access_token = tokens.issue(&account, id, now)?;
    Ok(LoggedIn {
        account,
        access_token,
        expires_in: tokens.lifetime,
    })
}
