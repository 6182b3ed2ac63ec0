//! A session starts, in the transaction of the login that it follows from.

use chrono::{DateTime, Utc};
use service_kit::access::Client;
use sqlx::PgConnection;
use thiserror::Error;
use uuid::Uuid;

use super::refresh_token::{FamilyKey, Secret};
use super::{LoggedIn, MOST_OF_ONE_ACCOUNT, access_token, expires_at};
use crate::State;
use crate::account::Account;
use crate::revocation;
use service_kit::sealing::DoesNotOpen;

#[derive(Debug, Error)]
pub enum SessionError {
    #[error("the access token could not be signed")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error(transparent)]
    Sealing(#[from] DoesNotOpen),
    #[error("the session could not be stored")]
    Database(#[from] sqlx::Error),
}

/// Starts a session. The caller holds a lock on the account's row, so that nobody is logged in while being disabled.
pub async fn start(
    connection: &mut PgConnection,
    state: &State,
    account: Account,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<LoggedIn, SessionError> {
    make_room(connection, state, account.id).await?;
    let id = Uuid::now_v7();
    let (key, secret) = (FamilyKey::generate(), Secret::generate());
    let ends_at = now + state.sessions.absolute;
    sqlx::query!(
        "INSERT INTO authentication.session
             (id, account_id, started_at, last_used_at, expires_at, ends_at, device, address, sealed_family_key, refresh_token)
         VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9)",
        id,
        account.id,
        now,
        expires_at(now, state.sessions.idle, ends_at),
        ends_at,
        client.device,
        client.address.to_string(),
        state.sealing.seal(key.as_bytes(), &id.to_string())?,
        secret.hash(),
    )
    .execute(connection)
    .await?;
    Ok(LoggedIn {
        access_token: access_token(&state.tokens, &account, id, None, now)?,
        expires_in: state.tokens.lifetime,
        refresh_token: key.write(id, &secret),
        account,
    })
}

/// The sessions are locked in the order in which whoever ends sessions locks them (`end.rs`), so that no two wait for each other
/// crosswise; and the time is taken when nobody refreshes those that end any more, as there.
async fn make_room(connection: &mut PgConnection, state: &State, account: Uuid) -> Result<(), sqlx::Error> {
    let surplus = sqlx::query_scalar!(
        "DELETE FROM authentication.session WHERE id IN (
             SELECT id FROM authentication.session WHERE id IN (
                 SELECT id FROM authentication.session WHERE account_id = $1 ORDER BY last_used_at DESC, id DESC OFFSET $2
             )
             ORDER BY id FOR UPDATE
         )
         RETURNING id",
        account,
        MOST_OF_ONE_ACCOUNT - 1
    )
    .fetch_all(&mut *connection)
    .await?;
    revocation::revoke(connection, state, &surplus, None, state.clock.now()).await
}
