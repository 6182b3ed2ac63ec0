//! What auth-service tells on the bus, for tests that want to know what would have been mailed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use prost::{Message, Name};
use service_kit::bus::{Bus, EventHandler, Handled, HandlerError, Subscription};
use service_kit::event::{self, Event};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

const LONG_ENOUGH: Duration = Duration::from_secs(20);

const TYPES: &[&str] = &[
    "voltgate.events.v1.PasswordChanged",
    "voltgate.events.v1.EmailChanged",
    "voltgate.events.v1.SecondFactorChanged",
    "voltgate.events.v1.SignupWithKnownEmail",
    "voltgate.events.v1.AccountDeleted",
];

const EXPIRING: &[&str] = &[
    "voltgate.events.v1.EmailVerificationRequested",
    "voltgate.events.v1.PasswordResetRequested",
];

/// Events in the order in which they came, those of signups left out.
pub struct Mailbox {
    events: mpsc::UnboundedReceiver<Event>,
    _stop: DropGuard,
}

impl Mailbox {
    /// Before the service starts: what is published before anybody listens waits, and so loses its turn.
    pub fn on(bus: &Bus) -> Self {
        let (tell, events) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let subscription = Subscription {
            queue: "test",
            types: TYPES,
            expiring: EXPIRING,
        };
        let (bus, until) = (bus.clone(), stop.clone());
        tokio::spawn(async move { bus.subscribe(subscription, Arc::new(Listener(tell)), until).await });
        Self {
            events,
            _stop: stop.drop_guard(),
        }
    }

    /// The next event, which has to hold an `M`.
    pub async fn next<M: Message + Name + Default>(&mut self) -> M {
        let event = tokio::time::timeout(LONG_ENOUGH, self.events.recv()).await;
        let event = event.expect("an event in time").expect("a bus");
        event::decode(&event).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The next event that holds an `M`, whatever comes before it.
    pub async fn skip_to<M: Message + Name + Default>(&mut self) -> M {
        loop {
            let event = tokio::time::timeout(LONG_ENOUGH, self.events.recv()).await;
            let event = event.expect("an event in time").expect("a bus");
            if let Ok(found) = event::decode(&event) {
                return found;
            }
        }
    }

    /// Nothing is on its way: the next event is the one that the caller made happen after it.
    pub fn is_empty(&mut self) -> bool {
        self.events.try_recv().is_err()
    }
}

struct Listener(mpsc::UnboundedSender<Event>);

#[async_trait]
impl EventHandler for Listener {
    async fn handle(&self, event: &Event) -> Result<Handled, HandlerError> {
        let _test_is_over = self.0.send(event.clone());
        Ok(Handled::New)
    }
}
