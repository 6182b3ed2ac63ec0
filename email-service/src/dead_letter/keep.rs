//! Keeps what could not be taken in.

use std::sync::Arc;

use async_trait::async_trait;
use metrics::counter;
use prost::Message;
use service_kit::bus::{DeadLetterHandler, HandlerError};
use service_kit::event::{self, Event};
use uuid::Uuid;

use crate::State;

/// Longest text kept of a reason, in characters.
const LONGEST: usize = 500;

/// Once, whoever sets it aside: the inbox here, or the queue.
pub(crate) async fn keep(state: &State, body: &[u8], reason: &str) -> Result<(), sqlx::Error> {
    let event = Event::decode(body).ok();
    let text = |text: &str| text.replace('\0', "\u{fffd}").chars().take(LONGEST).collect::<String>();
    let done = sqlx::query!(
        "INSERT INTO email.dead_letter (id, event_id, type, source, body, reason, died_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (digest) DO NOTHING",
        Uuid::now_v7(),
        event.as_ref().and_then(|event| event::id(event).ok()),
        event.as_ref().map(|event| text(&event.r#type)),
        event.as_ref().map(|event| text(&event.source)),
        body,
        text(reason),
        state.clock.now(),
    )
    .execute(&state.database)
    .await?;
    if done.rows_affected() == 1 {
        counter!("voltgate_mail_dead_letters_total").increment(1);
        let event = event.map_or_else(|| "unknown".to_owned(), |event| event.id);
        tracing::error!(event, "An event was set aside among the dead letters: {reason}");
    }
    Ok(())
}

/// Takes what the queue itself has set aside.
pub(crate) struct Keeper(pub Arc<State>);

#[async_trait]
impl DeadLetterHandler for Keeper {
    async fn keep(&self, body: &[u8], reason: &str) -> Result<(), HandlerError> {
        keep(&self.0, body, reason)
            .await
            .map_err(|error| HandlerError::Retry(error.to_string()))
    }
}
