//! Sessions end. Their rows go, and with them the refresh tokens; their access tokens are revoked.

use service_kit::access::Client;
use service_kit::database;
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::next_second;
use crate::State;
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use crate::housekeeping::{BATCH, in_batches};
use crate::revocation;

/// Which sessions of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    One(Uuid),
    /// All but this one.
    Others(Uuid),
    All,
}

#[derive(Debug, Error)]
#[error("the sessions could not be ended")]
pub struct EndError(#[from] sqlx::Error);

impl From<EndError> for Status {
    fn from(EndError(error): EndError) -> Self {
        database::failed(&error)
    }
}

/// Ends sessions at their own account's wish, and says how many there were.
pub async fn by_account(state: &State, caller: &LoggedInAs, client: &Client, which: Which) -> Result<usize, EndError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let ended = end(&mut transaction, state, caller.account, which).await?;
    if ended > 0 {
        let entry = Entry::new(Action::SessionsEnded, now, client)
            .by(caller.account)
            .on(caller.account)
            .with("sessions", ended);
        audit::record(&mut transaction, entry).await?;
    }
    transaction.commit().await?;
    Ok(ended)
}

/// Ends sessions of an account as a part of something else, and says how many there were. The time is taken when nobody
/// refreshes them any more: a refresh that was waited for has issued a token later than whatever the caller took for now.
pub async fn end(
    connection: &mut PgConnection,
    state: &State,
    account: Uuid,
    which: Which,
) -> Result<usize, sqlx::Error> {
    let (only, but) = match which {
        Which::One(session) => (Some(session), None),
        Which::Others(session) => (None, Some(session)),
        Which::All => (None, None),
    };
    let ended = sqlx::query_scalar!(
        "DELETE FROM authentication.session WHERE id IN (
             SELECT id FROM authentication.session
             WHERE account_id = $1 AND ($2::uuid IS NULL OR id = $2) AND ($3::uuid IS NULL OR id <> $3)
             ORDER BY id FOR UPDATE
         )
         RETURNING id",
        account,
        only,
        but
    )
    .fetch_all(&mut *connection)
    .await?;
    revocation::revoke(connection, state, &ended, None, state.clock.now()).await?;
    Ok(ended.len())
}

/// Lets the sessions of an account go on, but makes each of them ask for another access token: the account is not any
/// more what the ones they have say that it is. The caller has changed the account's row, so that no session starts
/// meanwhile.
///
/// The sessions are locked before the time is taken: a refresh that is waited for has read the account as it was, and what
/// it has issued must be older than what is voided here. It may say to have been issued later than now, by the clock of
/// another replica, or because the account has been changed in this very second already.
pub async fn renew_access_tokens(
    connection: &mut PgConnection,
    state: &State,
    account: Uuid,
) -> Result<(), sqlx::Error> {
    let sessions = sqlx::query!(
        r#"SELECT id, greatest(last_used_at, tokens_from) AS "issued_at!" FROM authentication.session
           WHERE account_id = $1 ORDER BY id FOR UPDATE"#,
        account
    )
    .fetch_all(&mut *connection)
    .await?;
    let now = state.clock.now();
    let latest = sessions.iter().map(|session| session.issued_at).max();
    let from = next_second(latest.map_or(now, |issued_at| issued_at.max(now)));
    let sessions: Vec<Uuid> = sessions.into_iter().map(|session| session.id).collect();
    sqlx::query!(
        "UPDATE authentication.session SET tokens_from = $2 WHERE id = ANY ($1)",
        &sessions,
        from
    )
    .execute(&mut *connection)
    .await?;
    revocation::revoke(connection, state, &sessions, Some(from), now).await
}

/// Removes what nobody can use any more. Their access tokens have expired long since.
pub async fn remove_expired(state: &State) -> Result<(), sqlx::Error> {
    in_batches(|| {
        sqlx::query!(
            "DELETE FROM authentication.session WHERE id IN (
                 SELECT id FROM authentication.session WHERE expires_at <= $1
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
             )",
            state.clock.now(),
            BATCH
        )
        .execute(&state.database)
    })
    .await
}
