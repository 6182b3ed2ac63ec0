//! What charge points say all the time, kept together: signs of life, states of connectors and meter values of many charge points in one
//! transaction, each beside its message. In a transaction of its own each would cost the database several times as much.
//!
//! Nobody waits for company: what comes in while one transaction is under way is part of the next. What turns out to be out of the
//! ordinary, or cannot be kept with the rest, is left to its session, which answers it in a transaction of its own. Where the database
//! refuses one, or somebody holds a row of one, that goes for all that were to be kept with it, once.

mod keep;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::keep::NotKept;
use crate::State;
use crate::message::routine::Message;
use crate::meter_values::Sample;
use crate::status::Status;

/// While the database writes what one of them has, the other fills up.
const LANES: usize = 2;

/// As many wait for a lane at most; sessions beyond wait for room.
const WAITING: usize = 1024;

/// Messages in one transaction. Far more would keep the first of them waiting.
const AT_ONCE: usize = 128;

/// A transaction that takes longer is not waited for: a database that has fallen silent must not hold up a lane for good.
const LONGEST: Duration = Duration::from_secs(10);

/// A CALL that has been read, and its answer.
#[derive(Debug)]
pub struct Said {
    pub message: Message,
    pub effect: Effect,
}

/// What changes with it.
#[derive(Debug)]
pub enum Effect {
    /// It was heard of.
    None,
    Status(Status),
    MeterValues(Values),
}

/// Of a meter, as the charge point tells where they belong.
#[derive(Debug)]
pub struct Values {
    pub connector_id: Option<i32>,
    pub transaction_id: Option<i32>,
    pub samples: Vec<Sample>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its answer may leave.
    Kept,
    /// Nothing of it is.
    NotKept,
    /// It may be kept, or not: the log of messages knows.
    Unknown,
    /// The database is away, as it would be for each by itself.
    Away,
}

struct Waiting {
    said: Said,
    outcome: oneshot::Sender<Outcome>,
}

/// Where sessions bring what is to be kept. A charge point has one lane for good.
pub struct Lanes(Vec<mpsc::Sender<Waiting>>);

/// The other end of a lane.
pub struct Lane(mpsc::Receiver<Waiting>);

pub fn lanes() -> (Lanes, Vec<Lane>) {
    let (senders, receivers) = (0..LANES)
        .map(|_| {
            let (sender, receiver) = mpsc::channel(WAITING);
            (sender, Lane(receiver))
        })
        .unzip();
    (Lanes(senders), receivers)
}

impl Lanes {
    pub async fn keep(&self, said: Said) -> Outcome {
        let mut hasher = DefaultHasher::new();
        said.message.via.charge_point.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        let (outcome, kept) = oneshot::channel();
        // Nobody is at the other end once the process stops.
        match self.0[lane].send(Waiting { said, outcome }).await {
            Ok(()) => kept.await.unwrap_or(Outcome::Unknown),
            Err(_) => Outcome::NotKept,
        }
    }
}

/// Keeps what comes in until everything else has ended, and finishes what is at hand.
pub async fn work(lanes: Vec<Lane>, state: &State) {
    join_all(lanes.into_iter().map(|lane| lane.work(state))).await;
}

impl Lane {
    async fn work(mut self, state: &State) {
        let mut waiting = Vec::with_capacity(AT_ONCE);
        loop {
            let come_in = self.0.recv_many(&mut waiting, AT_ONCE);
            if state.stopped.run_until_cancelled(come_in).await.unwrap_or(0) == 0 {
                return;
            }
            // All lanes, of all replicas, come to charge points in the same order.
            waiting.sort_by_key(|one| one.said.message.via.charge_point);
            let (said, askers): (Vec<_>, Vec<_>) = waiting.drain(..).map(|one| (one.said, one.outcome)).unzip();
            let outcomes = keep(state, said).await;
            let is_away = outcomes.first() == Some(&Outcome::Away);
            for (asker, outcome) in askers.into_iter().zip(outcomes) {
                // A session that has ended meanwhile does not wait for it.
                let _ = asker.send(outcome);
            }
            // Those behind have waited as long.
            while is_away && let Ok(one) = self.0.try_recv() {
                let _ = one.outcome.send(Outcome::Away);
            }
        }
    }
}

/// What became of each.
async fn keep(state: &State, said: Vec<Said>) -> Vec<Outcome> {
    let count = said.len();
    let kept = timeout(LONGEST, keep::together(&state.database, &state.clock, said)).await;
    let (outcome, why) = match kept {
        Ok(Ok(kept)) => {
            let outcome = |kept| if kept { Outcome::Kept } else { Outcome::NotKept };
            return kept.into_iter().map(outcome).collect();
        }
        Ok(Err(error)) => {
            let outcome = match &error {
                NotKept::Away(_) => Outcome::Away,
                NotKept::Refused(_) => Outcome::NotKept,
                NotKept::Unknown(_) => Outcome::Unknown,
            };
            (outcome, with_source(&error))
        }
        Err(_) => (Outcome::Unknown, format!("no end of it within {LONGEST:?}")),
    };
    tracing::warn!(messages = count, ?outcome, "Messages could not be kept together: {why}");
    vec![outcome; count]
}

fn with_source(error: &NotKept) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
