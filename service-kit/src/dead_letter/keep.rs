//! Keeps what could not be taken in.

use async_trait::async_trait;
use metrics::Counter;
use prost::Message;
use sqlx::PgPool;
use uuid::Uuid;

use super::text;
use crate::bus::{DeadLetterHandler, HandlerError};
use crate::clock::SharedClock;
use crate::event::{self, Event};

/// Keeps dead letters in a service's own table. Clones are the same keeper.
#[derive(Clone)]
pub struct Keeper {
    database: PgPool,
    clock: SharedClock,
    kept: Counter,
}

impl Keeper {
    /// `kept` counts what is kept from now on. It begins with 0, so that its first rise is seen as one.
    pub fn new(database: PgPool, clock: SharedClock, kept: Counter) -> Self {
        kept.increment(0);
        Self { database, clock, kept }
    }

    /// Keeps one, once, whoever sets it aside: the service, or the queue.
    ///
    /// # Errors
    /// The database does not answer, so that it has to be tried again.
    pub async fn set_aside(&self, body: &[u8], reason: &str) -> Result<(), sqlx::Error> {
        let event = Event::decode(body).ok();
        let done = sqlx::query!(
            "INSERT INTO dead_letter (id, event_id, type, source, body, reason, died_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (digest) DO NOTHING",
            Uuid::now_v7(),
            event.as_ref().and_then(|event| event::id(event).ok()),
            event.as_ref().map(|event| text(&event.r#type)),
            event.as_ref().map(|event| text(&event.source)),
            body,
            text(reason),
            self.clock.now(),
        )
        .execute(&self.database)
        .await?;
        if done.rows_affected() == 1 {
            self.kept.increment(1);
            let event = event.map_or_else(|| "unknown".to_owned(), |event| event.id);
            tracing::error!(event, "An event was set aside among the dead letters: {reason}");
        }
        Ok(())
    }
}

#[async_trait]
impl DeadLetterHandler for Keeper {
    async fn keep(&self, body: &[u8], reason: &str) -> Result<(), HandlerError> {
        let kept = self.set_aside(body, reason).await;
        kept.map_err(|error| HandlerError::Retry(error.to_string()))
    }
}
