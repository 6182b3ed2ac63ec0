//! The courier: takes deliveries that are due and makes the calls.
//!
//! Replicas share the work through the table. A courier that dies leaves deliveries whose lease runs out; they are made again under the
//! same `webhook-id`, by which whoever is called knows them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use metrics::counter;
use rand::RngExt;
use service_kit::hook::{CallError, Hooks, Reach, SigningSecret, Url, signed};
use service_kit::wake::Wake;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::CHANNEL;
use super::take::{self, Claimed, UnderWay};
use crate::{State, retry};

/// Calls to the same webhook that are under way at the same time. There are not many webhooks, so each has room of its own.
const OF_EACH: usize = 4;
/// How often to look for due deliveries without having been woken.
const POLL: Duration = Duration::from_secs(2);
/// As long whoever is called may take to answer. Shorter than the lease.
const ANSWER: Duration = Duration::from_secs(15);

pub(crate) struct Courier {
    work: Arc<Work>,
    drain: Duration,
}

struct Work {
    state: Arc<State>,
    hooks: Hooks,
    reach: Reach,
}

impl Courier {
    pub fn new(state: Arc<State>, reach: Reach, drain: Duration) -> Self {
        let hooks = Hooks::new(reach);
        Self {
            work: Arc::new(Work { state, hooks, reach }),
            drain,
        }
    }

    /// Runs until `shutdown`, then gives the calls under way until the drain is over.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut wake = Wake::on(self.work.state.database.clone(), CHANNEL);
        let mut calls = JoinSet::new();
        let mut webhooks: HashMap<Id, Uuid> = HashMap::new();
        while !shutdown.is_cancelled() {
            let claim = Uuid::new_v4();
            for delivery in self.work.take(claim, &under_way(&webhooks)).await {
                let webhook = delivery.webhook_id;
                let call = calls.spawn(Arc::clone(&self.work).attempt(delivery, claim));
                webhooks.insert(call.id(), webhook);
            }
            // Whatever is under way, and for however long: another webhook's turn may come at any moment.
            tokio::select! {
                Some(done) = calls.join_next_with_id() => {
                    webhooks.remove(&ended(done));
                }
                () = wake.wait(POLL) => {}
                () = shutdown.cancelled() => {}
            }
        }
        let rest = async { while calls.join_next().await.is_some() {} };
        if timeout(self.drain, rest).await.is_err() {
            tracing::warn!(
                "Webhooks were still being called when the time to drain was over; they will be called again"
            );
        }
    }
}

/// The lease of one that panicked runs out, and the attempt counts.
fn ended(done: Result<(Id, ()), tokio::task::JoinError>) -> Id {
    match done {
        Ok((id, ())) => id,
        Err(error) => {
            tracing::error!(%error, "An attempt to call a webhook failed unexpectedly");
            error.id()
        }
    }
}

fn under_way(webhooks: &HashMap<Id, Uuid>) -> UnderWay {
    let mut calls = UnderWay::new();
    for webhook in webhooks.values() {
        *calls.entry(*webhook).or_default() += 1;
    }
    calls
}

impl Work {
    async fn take(&self, claim: Uuid, under_way: &UnderWay) -> Vec<Claimed> {
        let now = self.state.clock.now();
        let taken = take::take(&self.state.database, claim, now, OF_EACH, under_way).await;
        taken.unwrap_or_else(|error| {
            tracing::warn!(%error, "Webhooks wait, because the database does not answer");
            Vec::new()
        })
    }

    async fn attempt(self: Arc<Self>, delivery: Claimed, claim: Uuid) {
        if delivery.attempts > retry::MOST_ATTEMPTS {
            count("failed");
            let problem = "every attempt ended without a result";
            note(
                delivery.id,
                take::mark_failed(&self.state.database, delivery.id, claim, None, problem).await,
            );
            return;
        }
        let called = self.call(&delivery).await;
        let now = self.state.clock.now();
        let (database, id) = (&self.state.database, delivery.id);
        let noted = match called {
            Ok(()) => {
                count("delivered");
                take::mark_delivered(database, id, now).await
            }
            Err(error) => {
                let is_gone = matches!(error, CallError::Status(StatusCode::GONE));
                let next = match error {
                    CallError::Status(StatusCode::GONE) => None,
                    CallError::Busy
                    | CallError::TooSlow
                    | CallError::Forbidden
                    | CallError::Unreachable
                    | CallError::Status(_)
                    | CallError::TooLarge
                    | CallError::Unreadable
                    | CallError::Unsignable => {
                        retry::next_attempt(delivery.first_due_at, now, delivery.attempts, rand::rng().random())
                    }
                };
                let outcome = if next.is_some() { "postponed" } else { "failed" };
                count(outcome);
                tracing::warn!(
                    delivery = %id,
                    webhook = %delivery.webhook_id,
                    attempts = delivery.attempts,
                    outcome,
                    "A webhook did not take an event: {error}"
                );
                let noted = take::mark_failed(database, id, claim, next, &error.to_string()).await;
                if is_gone {
                    self.disable(&delivery).await;
                }
                noted
            }
        };
        note(id, noted);
    }

    async fn call(&self, delivery: &Claimed) -> Result<(), CallError> {
        // Another rule may have held when it was subscribed.
        let url = Url::parse(&delivery.url)
            .and_then(|url| url.within(self.reach))
            .map_err(|_| CallError::Forbidden)?;
        let sealing = self.state.sealing.as_ref().ok_or(CallError::Unsignable)?;
        let secret = sealing.open(&delivery.signing_secret, &delivery.webhook_id.to_string());
        let secret = secret.ok().and_then(SigningSecret::of_bytes);
        let secret = secret.ok_or(CallError::Unsignable)?;
        let body = delivery.body.clone().into_bytes();
        let id = format!("msg_{}", delivery.event_id.simple());
        let headers = signed(&secret, &id, self.state.clock.now().timestamp(), &body);
        let deadline = Instant::now() + ANSWER;
        match self.hooks.post(&url, headers, body, deadline).await {
            // What it says beside its status is of no interest.
            Ok(_) | Err(CallError::TooLarge) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn disable(
        &self,
        Claimed {
            webhook_id: webhook,
            url,
            ..
        }: &Claimed,
    ) {
        let now = self.state.clock.now();
        match take::disable(&self.state.database, *webhook, url, "it is gone for good (410)", now).await {
            Ok(true) => tracing::error!(%webhook, "A webhook is not called any more, because it says that it is gone"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%webhook, %error, "A webhook that is gone could not be disabled"),
        }
    }
}

fn note(delivery: Uuid, noted: Result<(), sqlx::Error>) {
    if let Err(error) = noted {
        tracing::warn!(%delivery, %error, "What became of a delivery could not be noted; it will be made again");
    }
}

fn count(outcome: &'static str) {
    counter!("voltgate_webhook_deliveries_total", "outcome" => outcome).increment(1);
}
