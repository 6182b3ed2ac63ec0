//! The bus inside one process. It keeps nothing: the outbox is the queue, and an event counts as published when its
//! subscriber has committed it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{EventHandler, HandlerError, Outcome, Publisher, Subscription, Unavailable};
use crate::event::Event;

/// Clones are the same bus.
#[derive(Clone, Default)]
pub struct LocalBus {
    subscribers: Arc<Mutex<Subscribers>>,
    /// Those who belong to this process. An event that one of them wants waits for it while it is not there yet, or any more.
    expected: &'static [Subscription],
}

#[derive(Default)]
struct Subscribers {
    last: u64,
    by_number: BTreeMap<u64, Subscriber>,
}

#[derive(Clone)]
struct Subscriber {
    subscription: Subscription,
    handler: Arc<dyn EventHandler>,
}

/// Ends a subscription when it goes out of scope, however that comes about.
struct Subscribed<'a> {
    bus: &'a LocalBus,
    number: u64,
}

impl Drop for Subscribed<'_> {
    fn drop(&mut self) {
        self.bus.with(|all| all.by_number.remove(&self.number));
    }
}

impl LocalBus {
    /// The bus of a process in which all of these services run.
    pub fn between(expected: &'static [Subscription]) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    pub(super) async fn subscribe(
        &self,
        subscription: Subscription,
        handler: Arc<dyn EventHandler>,
        shutdown: CancellationToken,
    ) {
        let _subscribed = self.add(Subscriber { subscription, handler });
        shutdown.cancelled().await;
    }

    fn add(&self, subscriber: Subscriber) -> Subscribed<'_> {
        let number = self.with(|all| {
            all.last += 1;
            all.by_number.insert(all.last, subscriber);
            all.last
        });
        Subscribed { bus: self, number }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Subscribers) -> T) -> T {
        act(&mut self.subscribers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn subscribers_of(&self, event: &Event) -> Vec<Subscriber> {
        self.with(|all| {
            all.by_number
                .values()
                .filter(|subscriber| subscriber.subscription.wants(event))
                .cloned()
                .collect()
        })
    }

    /// Somebody who wants the event and is not there.
    fn absent(&self, event: &Event, subscribers: &[Subscriber]) -> Option<&'static str> {
        let is_there = |queue| subscribers.iter().any(|there| there.subscription.queue == queue);
        let expected = self.expected.iter().filter(|expected| expected.wants(event));
        expected.map(|expected| expected.queue).find(|queue| !is_there(*queue))
    }

    /// Hands one event to all who want it. If one of several fails, the next try reaches the others once more, which
    /// they know by its id.
    async fn hand_over(&self, event: &Event) -> Outcome {
        let subscribers = self.subscribers_of(event);
        if subscribers.is_empty() {
            return Outcome::Retry(format!("nobody here takes {}", event.r#type));
        }
        if let Some(queue) = self.absent(event, &subscribers) {
            return Outcome::Retry(format!("{queue} is not there"));
        }
        for Subscriber { subscription, handler } in subscribers {
            match handler.handle(event).await {
                Ok(_) => {}
                Err(HandlerError::Retry(reason)) => {
                    return Outcome::Retry(format!("{}: {reason}", subscription.queue));
                }
                Err(HandlerError::Reject(reason)) => {
                    return Outcome::Reject(format!("{}: {reason}", subscription.queue));
                }
            }
        }
        Outcome::Published
    }
}

#[async_trait]
impl Publisher for LocalBus {
    async fn publish(&mut self, events: &[Event]) -> Result<Vec<Outcome>, Unavailable> {
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            outcomes.push(self.hand_over(event).await);
        }
        Ok(outcomes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use voltgate_proto::events::v1::{AccountSignedUp, PasswordResetRequested};

    use super::*;
    use crate::bus::Handled;
    use crate::event;

    const SUBSCRIPTION: Subscription = Subscription {
        queue: "reader",
        types: &["voltgate.events.v1.AccountSignedUp"],
        expiring: &["voltgate.events.v1.PasswordResetRequested"],
    };

    struct Answers(Result<Handled, HandlerError>);

    #[async_trait]
    impl EventHandler for Answers {
        async fn handle(&self, _event: &Event) -> Result<Handled, HandlerError> {
            self.0.clone()
        }
    }

    fn signed_up() -> Event {
        event::new("test", DateTime::UNIX_EPOCH, &AccountSignedUp::default())
    }

    async fn outcome_with(handlers: Vec<Result<Handled, HandlerError>>) -> Outcome {
        let mut bus = LocalBus::default();
        let event = signed_up();
        let shared = bus.clone();
        let _guards: Vec<_> = handlers
            .into_iter()
            .map(|answer| {
                shared.add(Subscriber {
                    subscription: SUBSCRIPTION,
                    handler: Arc::new(Answers(answer)),
                })
            })
            .collect();
        bus.publish(&[event]).await.unwrap().remove(0)
    }

    #[tokio::test]
    async fn an_event_is_published_once_its_subscriber_has_dealt_with_it() {
        assert_eq!(outcome_with(vec![Ok(Handled::New)]).await, Outcome::Published);
        assert_eq!(outcome_with(vec![Ok(Handled::Repeated)]).await, Outcome::Published);
    }

    #[tokio::test]
    async fn an_event_nobody_takes_is_to_be_tried_again() {
        assert!(matches!(outcome_with(vec![]).await, Outcome::Retry(_)));
    }

    #[tokio::test]
    async fn an_event_waits_for_everybody_who_belongs_here_and_wants_it() {
        const OTHER: Subscription = Subscription {
            queue: "other",
            ..SUBSCRIPTION
        };
        let bus = LocalBus::between(&[SUBSCRIPTION, OTHER]);
        let subscribe = |subscription| {
            bus.add(Subscriber {
                subscription,
                handler: Arc::new(Answers(Ok(Handled::New))),
            })
        };
        let _reader = subscribe(SUBSCRIPTION);
        let alone = bus.clone().publish(&[signed_up()]).await.unwrap();
        assert_eq!(alone, [Outcome::Retry("other is not there".to_owned())]);
        let _other = subscribe(OTHER);
        let together = bus.clone().publish(&[signed_up()]).await.unwrap();
        assert_eq!(together, [Outcome::Published]);
    }

    #[tokio::test]
    async fn one_subscriber_that_fails_keeps_the_event_in_the_outbox() {
        let later = Err(HandlerError::Retry("no database".to_owned()));
        assert_eq!(
            outcome_with(vec![Ok(Handled::New), later]).await,
            Outcome::Retry("reader: no database".to_owned())
        );
        let never = Err(HandlerError::Reject("nonsense".to_owned()));
        assert_eq!(
            outcome_with(vec![never]).await,
            Outcome::Reject("reader: nonsense".to_owned())
        );
    }

    #[tokio::test]
    async fn a_subscription_ends_with_its_future() {
        let bus = LocalBus::default();
        let shutdown = CancellationToken::new();
        let handler = Arc::new(Answers(Ok(Handled::New)));
        {
            let subscribed = bus.subscribe(SUBSCRIPTION, handler, shutdown);
            tokio::pin!(subscribed);
            assert!(futures_util::poll!(&mut subscribed).is_pending());
            assert_eq!(bus.subscribers_of(&signed_up()).len(), 1);
        }
        assert!(bus.subscribers_of(&signed_up()).is_empty());
    }

    #[tokio::test]
    async fn what_should_expire_and_does_not_is_nobodys_and_the_other_way_round() {
        let bus = LocalBus::default();
        let handler = Arc::new(Answers(Ok(Handled::New)));
        let _subscribed = bus.add(Subscriber {
            subscription: SUBSCRIPTION,
            handler,
        });
        let soon = DateTime::UNIX_EPOCH + TimeDelta::minutes(10);
        let reset = PasswordResetRequested::default();
        let expiring = event::expiring("test", DateTime::UNIX_EPOCH, soon, &reset);
        assert_eq!(bus.subscribers_of(&expiring).len(), 1);
        let lasting = event::new("test", DateTime::UNIX_EPOCH, &reset);
        assert!(bus.subscribers_of(&lasting).is_empty());
        let expiring = event::expiring("test", DateTime::UNIX_EPOCH, soon, &AccountSignedUp::default());
        assert!(bus.subscribers_of(&expiring).is_empty());
    }
}
