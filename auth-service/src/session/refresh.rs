//! A session goes on: a refresh token is exchanged for the next one, and for an access token.
//!
//! Shown for the first time, a token is used up. Shown again within [`GRACE`], it gets the same successor, because an
//! answer was lost or two tabs refreshed at once. Shown later it ends the session: two parties hold it, and which of them
//! is the account's owner cannot be told.

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::RefreshRequest;

use super::end::{self, Which};
use super::refresh_token::{FamilyKey, Secret, Shown};
use super::{LoggedIn, access_token, expires_at};
use crate::State;
use crate::account::Account;
use crate::audit::{self, Action, Entry};
use service_kit::sealing::DoesNotOpen;

/// How long a token that was used still gets its successor.
pub const GRACE: TimeDelta = TimeDelta::seconds(10);

#[derive(Debug, Error)]
pub enum RefreshError {
    /// Which of the ways to be wrong is nobody's business.
    #[error("the refresh token is not valid")]
    NotValid,
    #[error("the access token could not be signed")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("the key of the session's refresh tokens does not open")]
    Sealing(#[from] DoesNotOpen),
    #[error("the session could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<RefreshError> for Status {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::NotValid => {
                Reason::InvalidRefreshToken.status("The refresh token is not valid any more; log in again")
            }
            RefreshError::Token(_) | RefreshError::Sealing(_) => reason::internal(&error),
            RefreshError::Database(error) => database::failed(&error),
        }
    }
}

/// What a refresh token leads to.
enum Use {
    First { successor: Secret },
    Again { successor: Secret },
    Replay,
}

/// The text of a refresh token out of its request.
///
/// # Errors
/// There is none.
pub fn token_of(request: RefreshRequest) -> Result<String, Vec<FieldViolation>> {
    if request.refresh_token.is_empty() {
        return Err(vec![FieldViolation::new("refreshToken", "is required")]);
    }
    Ok(request.refresh_token)
}

pub async fn refresh(state: &State, token: &str, client: &Client) -> Result<LoggedIn, RefreshError> {
    let shown = Shown::parse(token).ok_or(RefreshError::NotValid)?;
    let mut transaction = database::begin(&state.database).await?;
    let session = lock(&mut transaction, shown.session)
        .await?
        .ok_or(RefreshError::NotValid)?;
    // Later than whatever was waited for.
    let now = state.clock.now();
    if session.expires_at <= now {
        return Err(RefreshError::NotValid);
    }
    let key = session.family_key(state)?;
    let secret = key.genuine(&shown).ok_or(RefreshError::NotValid)?;
    let successor = match session.used_as(&mut transaction, &key, &secret, now).await? {
        Use::First { successor } => {
            session
                .rotate(&mut transaction, state, &secret, &successor, client, now)
                .await?;
            successor
        }
        Use::Again { successor } => {
            session.note_use(&mut transaction, now).await?;
            successor
        }
        Use::Replay => {
            session.end_for_replay(&mut transaction, state, client, now).await?;
            transaction.commit().await?;
            return Err(RefreshError::NotValid);
        }
    };
    transaction.commit().await?;
    let access_token = access_token(&state.tokens, &session.account, session.id, session.tokens_from, now)?;
    Ok(LoggedIn {
        access_token,
        expires_in: state.tokens.lifetime,
        refresh_token: key.write(session.id, &successor),
        account: session.account,
    })
}

struct Session {
    id: Uuid,
    account: Account,
    expires_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    sealed_family_key: Vec<u8>,
    refresh_token: Vec<u8>,
    tokens_from: Option<DateTime<Utc>>,
}

/// Locks the row, so that refreshes of one session come one after the other, at whatever replica. The account is read by a
/// statement of its own, afterwards: one that waits for a lock sees the locked row as it is then, and all other rows as they
/// were before. Whoever changes the account meanwhile waits for this session (`end.rs`) and voids what it is given.
async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Session>, sqlx::Error> {
    let session = sqlx::query!(
        "SELECT account_id, expires_at, ends_at, sealed_family_key, refresh_token, tokens_from
         FROM authentication.session WHERE id = $1
         FOR UPDATE",
        id
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(session) = session else { return Ok(None) };
    let account = sqlx::query_as!(
        Account,
        "SELECT id, username, roles, site_groups FROM authentication.account WHERE id = $1",
        session.account_id
    )
    .fetch_one(connection)
    .await?;
    Ok(Some(Session {
        id,
        account,
        expires_at: session.expires_at,
        ends_at: session.ends_at,
        sealed_family_key: session.sealed_family_key,
        refresh_token: session.refresh_token,
        tokens_from: session.tokens_from,
    }))
}

impl Session {
    fn family_key(&self, state: &State) -> Result<FamilyKey, DoesNotOpen> {
        let key = state.sealing.open(&self.sealed_family_key, &self.id.to_string())?;
        FamilyKey::from_bytes(&key).ok_or(DoesNotOpen)
    }

    async fn used_as(
        &self,
        connection: &mut PgConnection,
        key: &FamilyKey,
        secret: &Secret,
        now: DateTime<Utc>,
    ) -> Result<Use, sqlx::Error> {
        let successor = key.successor(secret);
        if secret.hash() == self.refresh_token {
            return Ok(Use::First { successor });
        }
        let used_at = sqlx::query_scalar!(
            "SELECT used_at FROM authentication.used_refresh_token WHERE session_id = $1 AND refresh_token = $2",
            self.id,
            secret.hash()
        )
        .fetch_optional(connection)
        .await?;
        Ok(match used_at {
            Some(used_at) if now <= used_at + GRACE => Use::Again { successor },
            _ => Use::Replay,
        })
    }

    async fn rotate(
        &self,
        connection: &mut PgConnection,
        state: &State,
        used: &Secret,
        successor: &Secret,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "WITH forgotten AS (
                 DELETE FROM authentication.used_refresh_token WHERE session_id = $1 AND used_at < $2
             ), used AS (
                 INSERT INTO authentication.used_refresh_token (session_id, refresh_token, used_at) VALUES ($1, $3, $4)
             )
             UPDATE authentication.session
             SET refresh_token = $5, last_used_at = $4, expires_at = $6, device = $7, address = $8
             WHERE id = $1",
            self.id,
            now - GRACE,
            used.hash(),
            now,
            successor.hash(),
            expires_at(now, state.sessions.idle, self.ends_at),
            client.device,
            client.address.to_string(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// An access token is issued now, and whoever voids those of the session goes by when the last one was (`end.rs`).
    async fn note_use(&self, connection: &mut PgConnection, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE authentication.session SET last_used_at = greatest(last_used_at, $2) WHERE id = $1",
            self.id,
            now
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn end_for_replay(
        &self,
        connection: &mut PgConnection,
        state: &State,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let account = self.account.id;
        tracing::warn!(%account, session = %self.id, "A refresh token was shown again; its session is ended");
        end::end(connection, state, account, Which::One(self.id)).await?;
        let entry = Entry::new(Action::RefreshTokenReplayed, now, client)
            .on(account)
            .with("session", self.id.to_string());
        audit::record(connection, entry).await
    }
}
