//! Takes what a handler rejects off the bus's hands.

use async_trait::async_trait;
use prost::Message;

use super::Keeper;
use crate::bus::{EventHandler, Handled, HandlerError};
use crate::event::Event;

/// A handler whose rejects are kept as dead letters, and count as dealt with. Only what expires is not kept, because it holds a
/// secret: that stays rejected.
///
/// A handler has the event and not its bytes, so the event is encoded anew. Fields of the envelope that this version does not know are lost.
pub struct SetAside<Handler> {
    handler: Handler,
    keeper: Keeper,
}

impl<Handler> SetAside<Handler> {
    pub fn new(handler: Handler, keeper: Keeper) -> Self {
        Self { handler, keeper }
    }
}

#[async_trait]
impl<Handler: EventHandler> EventHandler for SetAside<Handler> {
    async fn handle(&self, event: &Event) -> Result<Handled, HandlerError> {
        let reason = match self.handler.handle(event).await {
            Err(HandlerError::Reject(reason)) if event.expires_at.is_none() => reason,
            answer => return answer,
        };
        let kept = self.keeper.set_aside(&event.encode_to_vec(), &reason).await;
        kept.map(|()| Handled::New)
            .map_err(|error| HandlerError::Retry(error.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chrono::{DateTime, TimeDelta};
    use metrics::Counter;
    use sqlx::postgres::PgPoolOptions;
    use voltgate_proto::events::v1::{AccountSignedUp, PasswordResetRequested};

    use super::*;
    use crate::clock::SystemClock;
    use crate::event;

    struct Answers(Result<Handled, HandlerError>);

    #[async_trait]
    impl EventHandler for Answers {
        async fn handle(&self, _event: &Event) -> Result<Handled, HandlerError> {
            self.0.clone()
        }
    }

    /// Where the database is away.
    async fn handle(event: &Event, answer: Result<Handled, HandlerError>) -> Result<Handled, HandlerError> {
        let database = PgPoolOptions::new()
            .acquire_timeout(Duration::from_millis(50))
            .connect_lazy("postgres://nobody@127.0.0.1:1/nothing")
            .unwrap();
        let keeper = Keeper::new(database, Arc::new(SystemClock), Counter::noop());
        SetAside::new(Answers(answer), keeper).handle(event).await
    }

    fn rejected() -> Result<Handled, HandlerError> {
        Err(HandlerError::Reject("its id is not a UUID".to_owned()))
    }

    #[tokio::test]
    async fn what_is_dealt_with_or_is_to_be_tried_again_is_no_dead_letter() {
        let event = event::new("test", DateTime::UNIX_EPOCH, &AccountSignedUp::default());
        let later = Err(HandlerError::Retry("later".to_owned()));
        for answer in [Ok(Handled::New), Ok(Handled::Repeated), later] {
            assert_eq!(handle(&event, answer.clone()).await, answer);
        }
    }

    #[tokio::test]
    async fn what_expires_is_rejected_and_not_kept() {
        let message = PasswordResetRequested::default();
        let end = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let event = event::expiring("test", DateTime::UNIX_EPOCH, end, &message);
        assert_eq!(handle(&event, rejected()).await, rejected());
    }

    #[tokio::test]
    async fn what_cannot_be_kept_now_is_to_be_tried_again() {
        let event = event::new("test", DateTime::UNIX_EPOCH, &AccountSignedUp::default());
        let answer = handle(&event, rejected()).await;
        assert!(matches!(answer, Err(HandlerError::Retry(_))), "{answer:?}");
    }
}
