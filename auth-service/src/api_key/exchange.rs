//! A key is exchanged for an access token, by whoever was shown it.

use chrono::{DateTime, Utc};
use service_kit::access::ApiKey;
use service_kit::clock::SharedClock;
use service_kit::database;
use service_kit::reason;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use crate::access_token::AccessTokens;
use crate::account::Account;

#[derive(Debug, Error)]
pub enum ExchangeError {
    #[error("the access token could not be signed")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("the key could not be looked up")]
    Database(#[from] sqlx::Error),
}

impl From<ExchangeError> for Status {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Token(_) => reason::internal(&error),
            ExchangeError::Database(error) => database::failed(&error),
        }
    }
}

/// An access token with what the key may do of that which its account may do now; none where the key is not valid, for
/// whatever cause.
pub async fn exchange(
    database: &PgPool,
    tokens: &AccessTokens,
    clock: &SharedClock,
    key: &ApiKey,
) -> Result<Option<String>, ExchangeError> {
    let mut transaction = database::begin(database).await?;
    let Some(found) = find(&mut transaction, key).await? else {
        return Ok(None);
    };
    // Taken once the row is locked, so that a revocation of what is issued here is later than it.
    let now = clock.now();
    let Some(account) = account(&mut transaction, &found)
        .await?
        .filter(|_| found.expires_at > now)
    else {
        return Ok(None);
    };
    sqlx::query!(
        "UPDATE authentication.api_key SET last_used_at = $2 WHERE id = $1",
        key.id,
        now
    )
    .execute(&mut *transaction)
    .await?;
    let issued_at = found.tokens_from.map_or(now, |from| from.max(now));
    let token = tokens.issue_for_key(&account, key.id, &found.scopes, found.expires_at, issued_at)?;
    transaction.commit().await?;
    Ok(Some(token))
}

struct Found {
    account_id: Uuid,
    scopes: Vec<String>,
    roles: Vec<String>,
    expires_at: DateTime<Utc>,
    tokens_from: Option<DateTime<Utc>>,
}

/// Locks the key's row, which whoever changes its account locks too.
async fn find(connection: &mut PgConnection, key: &ApiKey) -> Result<Option<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        "SELECT account_id, scopes, roles, expires_at, tokens_from
         FROM authentication.api_key WHERE id = $1 AND secret_hash = $2
         FOR NO KEY UPDATE",
        key.id,
        &key.secret_hash()[..]
    )
    .fetch_optional(connection)
    .await
}

/// In a statement of its own, which sees what was committed while the lock was waited for.
async fn account(connection: &mut PgConnection, found: &Found) -> Result<Option<Account>, sqlx::Error> {
    let account = sqlx::query!(
        "SELECT id, username, roles, site_groups FROM authentication.account
         WHERE id = $1 AND disabled_at IS NULL AND NOT password_reset_required",
        found.account_id
    )
    .fetch_optional(connection)
    .await?;
    Ok(account.map(|account| Account {
        id: account.id,
        username: account.username,
        site_groups: account.site_groups,
        roles: account
            .roles
            .into_iter()
            .filter(|role| found.roles.contains(role))
            .collect(),
    }))
}
