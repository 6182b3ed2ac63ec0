//! Keys end: by their owner, by an administrator, or by growing old. The access tokens that they were exchanged for are
//! revoked.

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::access::Client;
use service_kit::database;
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::not_found;
use crate::State;
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use crate::housekeeping::{BATCH, in_batches};
use crate::revocation;
use crate::session::next_second;

/// How long a key that has expired stays in the list, so that its owner sees why a program stopped working.
const KEPT_EXPIRED: TimeDelta = TimeDelta::days(30);

#[derive(Debug, Error)]
pub enum RevokeError {
    #[error("the account has no such key")]
    Unknown,
    #[error("the key could not be revoked")]
    Database(#[from] sqlx::Error),
}

impl From<RevokeError> for Status {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Unknown => not_found(),
            RevokeError::Database(error) => database::failed(&error),
        }
    }
}

/// Revokes one key of an account.
pub async fn revoke(
    state: &State,
    caller: &LoggedInAs,
    client: &Client,
    account: Uuid,
    key: Uuid,
) -> Result<(), RevokeError> {
    let mut transaction = database::begin(&state.database).await?;
    let deleted = sqlx::query!(
        "DELETE FROM authentication.api_key WHERE id = $1 AND account_id = $2",
        key,
        account
    )
    .execute(&mut *transaction)
    .await?;
    if deleted.rows_affected() == 0 {
        return Err(RevokeError::Unknown);
    }
    let now = state.clock.now();
    revocation::revoke(&mut transaction, state, &[key], None, now).await?;
    let entry = Entry::new(Action::ApiKeyRevoked, now, client)
        .by(caller.account)
        .on(account)
        .with("apiKey", key.to_string());
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    tracing::info!(%account, api_key = %key, "An API key was revoked");
    Ok(())
}

/// Makes every key of an account be exchanged anew: the account is not any more what the tokens say that it is. An account
/// that may not log in gets no new one. The keys are locked before the time is taken, as sessions are and for the same cause
/// (session/end.rs).
pub async fn renew_access_tokens(
    connection: &mut PgConnection,
    state: &State,
    account: Uuid,
) -> Result<(), sqlx::Error> {
    let keys = lock(connection, account).await?;
    let now = state.clock.now();
    let latest = keys.iter().filter_map(|key| key.issued_at).max();
    let from = next_second(latest.map_or(now, |issued_at| issued_at.max(now)));
    let keys = ids(&keys);
    sqlx::query!(
        "UPDATE authentication.api_key SET tokens_from = $2 WHERE id = ANY ($1)",
        &keys,
        from
    )
    .execute(&mut *connection)
    .await?;
    revocation::revoke(connection, state, &keys, Some(from), now).await
}

/// Revokes every key of an account that is about to be deleted.
pub async fn end_all(connection: &mut PgConnection, state: &State, account: Uuid) -> Result<(), sqlx::Error> {
    let keys = lock(connection, account).await?;
    sqlx::query!("DELETE FROM authentication.api_key WHERE account_id = $1", account)
        .execute(&mut *connection)
        .await?;
    revocation::revoke(connection, state, &ids(&keys), None, state.clock.now()).await
}

struct LockedKey {
    id: Uuid,
    /// When the last token may say that it was.
    issued_at: Option<DateTime<Utc>>,
}

async fn lock(connection: &mut PgConnection, account: Uuid) -> Result<Vec<LockedKey>, sqlx::Error> {
    sqlx::query_as!(
        LockedKey,
        "SELECT id, greatest(last_used_at, tokens_from) AS issued_at FROM authentication.api_key
         WHERE account_id = $1 ORDER BY id FOR UPDATE",
        account
    )
    .fetch_all(connection)
    .await
}

fn ids(keys: &[LockedKey]) -> Vec<Uuid> {
    keys.iter().map(|key| key.id).collect()
}

/// Removes what expired so long ago that nobody wonders any more.
pub async fn remove_expired(state: &State) -> Result<(), sqlx::Error> {
    in_batches(|| {
        sqlx::query!(
            "DELETE FROM authentication.api_key WHERE id IN (
                 SELECT id FROM authentication.api_key WHERE expires_at <= $1
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
             )",
            state.clock.now() - KEPT_EXPIRED,
            BATCH
        )
        .execute(&state.database)
    })
    .await
}
