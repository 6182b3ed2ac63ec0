//! When an account is deleted, the audit log here no longer says where its owner was and with what. That somebody did
//! something stays, under an id that nobody's name belongs to any more; so do transactions. The account's id tokens charge no
//! more, and are nobody's.
//!
//! An event that cannot be read is rejected, and goes among the [dead letters](service_kit::dead_letter::SetAside).
//!
//! What an account asked for may still be under way when it is deleted, and is an entry only when it is done. So deleted accounts are
//! remembered for a while, and their entries looked at again.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use service_kit::bus::{EventHandler, Handled, HandlerError};
use service_kit::database;
use service_kit::event::{self, Event, Unreadable};
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::events::v1::AccountDeleted;

use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::id_token::{key_code, owner};
use crate::local_list::due;

/// Entries that are changed by one statement: an account may have made very many.
const BATCH: i64 = 10_000;

/// Far longer than anything that an account asks for may take.
const REMEMBERED: TimeDelta = TimeDelta::days(1);

/// Tokens that are blocked by one statement.
const TOKENS: i64 = 1000;

/// Hears of accounts that are deleted. The same event a second time finds nothing to erase, so none is remembered.
pub(crate) struct Erasure {
    state: Arc<State>,
}

/// Why an event was not dealt with.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error("the event cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    #[error("the database does not take it: {0}")]
    Database(#[from] sqlx::Error),
}

impl From<EraseError> for HandlerError {
    fn from(error: EraseError) -> Self {
        let reason = error.to_string();
        match error {
            EraseError::Unreadable(_) => Self::Reject(reason),
            EraseError::Database(_) => Self::Retry(reason),
        }
    }
}

impl Erasure {
    pub fn new(state: Arc<State>) -> Self {
        Self { state }
    }
}

/// All that follows from an event. Another time nothing does, so it may be tried as often as somebody likes.
pub async fn take_in(state: &State, event: &Event) -> Result<Handled, EraseError> {
    let deleted: AccountDeleted = event::decode(event)?;
    let account = Uuid::parse_str(&deleted.account_id).map_err(|_| Unreadable::Data(event.r#type.clone()))?;
    let (database, now) = (&state.database, state.clock.now());
    remember(database, account, now).await?;
    let mut blocked = 0;
    loop {
        let tokens = block_tokens(state, account).await?;
        if tokens == 0 {
            break;
        }
        blocked += tokens;
    }
    let erased = erase(database, account).await?;
    tracing::info!(
        %account,
        entries = erased,
        tokens = blocked,
        "An account was deleted; its entries in the audit log say less now, and its id tokens are blocked"
    );
    let is_new = erased > 0 || blocked > 0;
    Ok(if is_new { Handled::New } else { Handled::Repeated })
}

/// How many tokens of an account it blocked. That they were somebody's, only the audit log tells.
async fn block_tokens(state: &State, account: Uuid) -> Result<usize, sqlx::Error> {
    let mut transaction = database::begin(&state.database).await?;
    let blocked = sqlx::query!(
        "UPDATE ocpp.id_token SET blocked = true, account_id = NULL, revision = nextval('ocpp.revision')
         WHERE account_id = $1 AND id IN (SELECT id FROM ocpp.id_token WHERE account_id = $1 LIMIT $2)
         RETURNING value, type AS kind",
        account,
        TOKENS,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let (author, now) = (Author::ourselves(crate::NAME), state.clock.now());
    let shown: Vec<_> = blocked
        .iter()
        .map(|token| key_code::shown(&state.passwords, &token.value, [token.kind.as_str()]))
        .collect();
    let entries: Vec<_> = shown
        .iter()
        .map(|value| {
            Entry::new(Action::IdTokenUpdated, now, &author)
                .on_id_token(value)
                .with("blocked", Some(true))
                .with("accountDeleted", Some(true))
        })
        .collect();
    audit::record_all(&mut transaction, entries).await?;
    let values: Vec<&str> = blocked.iter().map(|token| token.value.as_str()).collect();
    due::token_changed(&mut transaction, &values).await?;
    transaction.commit().await?;
    Ok(blocked.len())
}

/// From then on nobody gives it a token.
async fn remember(database: &PgPool, account: Uuid, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let mut transaction = database::begin(database).await?;
    owner::keep_out(&mut transaction, account).await?;
    sqlx::query!(
        "INSERT INTO ocpp.deleted_account (id, deleted_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        account,
        now,
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!("DELETE FROM ocpp.id_token_owner WHERE account_id = $1", account)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Erases once more what accounts left that were deleted of late, and forgets those that can leave nothing any more.
pub async fn keep(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let are_some = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM ocpp.deleted_account) AS "are_some!""#)
        .fetch_one(database)
        .await?;
    // As a rule. The log is long, and nothing of it need be looked at.
    if !are_some {
        return Ok(());
    }
    loop {
        let late = sqlx::query!(
            "UPDATE ocpp.audit SET address = NULL, device = NULL
             WHERE id IN (
                 SELECT late.id FROM ocpp.deleted_account CROSS JOIN LATERAL (
                     SELECT audit.id FROM ocpp.audit
                     WHERE actor_id = deleted_account.id AND (address IS NOT NULL OR device IS NOT NULL)) AS late
                 LIMIT $1
             )",
            BATCH,
        )
        .execute(database)
        .await?;
        if late.rows_affected() == 0 {
            break;
        }
    }
    sqlx::query!(
        "DELETE FROM ocpp.deleted_account WHERE deleted_at < $1",
        now - REMEMBERED
    )
    .execute(database)
    .await?;
    Ok(())
}

/// How many entries of an account it took address and device out of.
async fn erase(database: &PgPool, account: Uuid) -> Result<u64, sqlx::Error> {
    let mut erased = 0;
    loop {
        let entries = erase_batch(database, account).await?;
        if entries == 0 {
            return Ok(erased);
        }
        erased += entries;
    }
}

async fn erase_batch(database: &PgPool, account: Uuid) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE ocpp.audit SET address = NULL, device = NULL
         WHERE id IN (
             SELECT id FROM ocpp.audit
             WHERE actor_id = $1 AND (address IS NOT NULL OR device IS NOT NULL)
             LIMIT $2
         )",
        account,
        BATCH,
    )
    .execute(database)
    .await?;
    Ok(done.rows_affected())
}

#[async_trait]
impl EventHandler for Erasure {
    async fn handle(&self, event: &Event) -> Result<Handled, HandlerError> {
        Ok(take_in(&self.state, event).await?)
    }
}
