//! The inbox: what an event makes email-service do, decided once for each event.
//!
//! The event's id and the messages that it leads to are committed together, and only then is the event acknowledged. The
//! same event again finds its id taken and does nothing. Nothing is sent from here, so that a slow mail server is never a
//! slow consumer.
//!
//! What cannot be taken in, today or ever, is rejected, and goes among the [dead letters](service_kit::dead_letter::SetAside). Only
//! what expires is not kept for that, because it holds a secret.
//!
//! A code passes through in the message that it is for, and stands nowhere else. What has expired is recorded, and that is all.

mod accounts;
mod charges;
mod decision;
#[cfg(test)]
mod tests;
mod unread;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use service_kit::bus::{EventHandler, Handled, HandlerError};
use service_kit::event::{self, Event, Unreadable};
use sqlx::PgConnection;
use uuid::Uuid;

pub(crate) use self::unread::read;

use self::decision::{Decision, decide};
use crate::{State, message, notice, webhook};

pub(crate) struct Inbox(Arc<State>);

/// Why an event was not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeInError {
    #[error("the event cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    #[error("the database does not take it: {0}")]
    Database(#[from] sqlx::Error),
}

impl TakeInError {
    /// PostgreSQL refuses what the event holds, such as a text with a NUL (class 22), something against a constraint (class 23), or more than
    /// an index takes (class 54). None of these gets better by waiting; anything else does.
    pub fn is_about_the_event(&self) -> bool {
        match self {
            Self::Unreadable(_) => true,
            Self::Database(error) => error
                .as_database_error()
                .and_then(|error| error.code())
                .is_some_and(|code| ["22", "23", "54"].contains(&code.get(..2).unwrap_or_default())),
        }
    }
}

impl From<TakeInError> for HandlerError {
    fn from(error: TakeInError) -> Self {
        let reason = error.to_string();
        match error.is_about_the_event() {
            true => Self::Reject(reason),
            false => Self::Retry(reason),
        }
    }
}

impl Inbox {
    pub fn new(state: Arc<State>) -> Self {
        Self(state)
    }

    async fn take_in(&self, event: &Event) -> Result<Handled, TakeInError> {
        let mut transaction = self.0.database.begin().await?;
        let handled = take_in(&mut transaction, event, self.0.clock.now()).await?;
        transaction.commit().await?;
        Ok(handled)
    }
}

/// Records an event with all that follows from it, in the transaction that the connection is in.
pub(crate) async fn take_in(
    connection: &mut PgConnection,
    event: &Event,
    now: DateTime<Utc>,
) -> Result<Handled, TakeInError> {
    let id = event::id(event)?;
    let decision = decide(event, now)?;
    let recorded = record(connection, id, event, &decision, now).await?;
    if !recorded {
        return Ok(Handled::Repeated);
    }
    act(connection, id, event, &decision, now).await?;
    Ok(Handled::New)
}

/// All that follows from an event that stands in the inbox.
async fn act(
    connection: &mut PgConnection,
    id: Uuid,
    event: &Event,
    decision: &Decision,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if let Decision::Erase { account, address, .. } = decision {
        message::erase::account(connection, *account, address.as_deref(), now).await?;
    }
    if let Some(draft) = decision.draft() {
        message::queue(connection, Some(id), draft, now).await?;
    }
    if let Decision::Notice(occurrence) = decision {
        notice::note(connection, id, occurrence, now).await?;
    }
    webhook::fan_out(connection, id, event, now).await?;
    tracing::info!(
        event = %id,
        kind = event.r#type,
        outcome = decision.outcome(),
        "An event is taken in"
    );
    Ok(())
}

/// Whether the event is new. Two replicas that get the same one wait for each other here.
async fn record(
    connection: &mut PgConnection,
    id: Uuid,
    event: &Event,
    decision: &Decision,
    now: DateTime<Utc>,
) -> Result<bool, TakeInError> {
    let unread = match decision {
        // What expires holds a secret, and is not kept for want of knowing what it is.
        Decision::UnknownType if event.expires_at.is_none() => Some(event.data.as_ref()),
        Decision::UnknownType
        | Decision::Queue(_)
        | Decision::Erase { .. }
        | Decision::NoRecipient
        | Decision::Notice(_)
        | Decision::Told
        | Decision::Expired => None,
    };
    let done = sqlx::query!(
        r#"
        INSERT INTO email.inbox (event_id, type, source, time, received_at, outcome, unread, language)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (event_id) DO NOTHING
        "#,
        id,
        event.r#type,
        event.source,
        event::time(event)?,
        now,
        decision.outcome(),
        unread,
        unread.and(event.language.as_deref()),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[async_trait]
impl EventHandler for Inbox {
    async fn handle(&self, event: &Event) -> Result<Handled, HandlerError> {
        Ok(self.take_in(event).await?)
    }
}
