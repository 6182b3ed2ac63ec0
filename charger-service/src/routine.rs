//! What charge points say all the time, kept together: signs of life, states of connectors and meter values of many charge points in one
//! transaction, each beside its message. In a transaction of its own each would cost the database several times as much.
//!
//! Nobody waits for company: what comes in while one transaction is under way is part of the next. What turns out to be out of the
//! ordinary, or cannot be kept with the rest, is left to its session, which answers it in a transaction of its own; so one message that
//! the database refuses costs the others nothing but time.

mod keep;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures_util::future::join_all;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

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

struct Waiting {
    said: Said,
    kept: oneshot::Sender<bool>,
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
    /// Whether it is kept, and its answer may leave. If not, nothing of it is.
    pub async fn keep(&self, said: Said) -> bool {
        let mut hasher = DefaultHasher::new();
        said.message.via.charge_point.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        let (kept, outcome) = oneshot::channel();
        // Nobody is at the other end once the process stops.
        self.0[lane].send(Waiting { said, kept }).await.is_ok() && outcome.await.unwrap_or(false)
    }
}

/// Keeps what comes in until everything else has ended.
pub async fn work(lanes: Vec<Lane>, state: &State) {
    let work = join_all(lanes.into_iter().map(|lane| lane.work(&state.database)));
    state.stopped.run_until_cancelled(work).await;
}

impl Lane {
    async fn work(mut self, database: &PgPool) {
        let mut waiting = Vec::with_capacity(AT_ONCE);
        while self.0.recv_many(&mut waiting, AT_ONCE).await > 0 {
            let (said, answers): (Vec<_>, Vec<_>) = waiting.drain(..).map(|one| (one.said, one.kept)).unzip();
            let kept = keep::together(database, said).await.unwrap_or_else(|error| {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "Messages could not be kept together; each is by itself"
                );
                vec![false; answers.len()]
            });
            for (answer, kept) in answers.into_iter().zip(kept) {
                // A session that has ended meanwhile does not wait for it.
                let _ = answer.send(kept);
            }
        }
    }
}
