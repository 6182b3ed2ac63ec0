//! What all listeners of a replica hear, read once for all of them.
//!
//! One task reads the table as it grows, and only while somebody listens. NOTIFY would be told by every commit, and commits
//! that tell something wait for each other; a look every quarter of a second costs the same whether nothing happens or a
//! thousand things a second. Who listens gets what was read through a ring of a bounded size: one that is too slow for it finds
//! that out, and reads the table alone.

use std::sync::Arc;
use std::time::Duration;

use service_kit::backoff::Backoff;
use tokio::sync::broadcast::{Receiver, Sender};
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;
use uuid::Uuid;

use super::page::{self, Happened};
use super::position::{Position, Server};
use crate::State;
use crate::places::{NoPlace, Place as Taken, Places};

/// Between two looks at the table.
const LOOK: Duration = Duration::from_millis(250);

/// While the table cannot be read.
const AGAIN: Backoff = Backoff {
    first: LOOK,
    longest: Duration::from_secs(10),
};

/// Batches in the ring, each a page at the most: some 10 MB together.
const RING: usize = 64;

/// Who may listen at one replica.
const MOST: usize = 1000;

/// Of one account. Programs share an account, and its keys.
const MOST_OF_ONE: usize = 100;

/// Who may read the table alone at once. They have long ways to go, perhaps, and there are few connections.
const READERS: usize = 3;

/// Events that came one after the other.
#[derive(Debug)]
pub struct Batch {
    pub server: Server,
    /// Nothing happened between the batch before and this; where the task has just begun, nobody has read further.
    pub from: Position,
    pub to: Position,
    pub events: Vec<Arc<Happened>>,
}

/// A replica's feed.
#[derive(Debug)]
pub struct Feed {
    ring: Sender<Arc<Batch>>,
    joined: Notify,
    places: Places,
    pub readers: Semaphore,
}

/// Somebody's place at the feed.
#[derive(Debug)]
pub struct Place {
    pub batches: Receiver<Arc<Batch>>,
    _taken: Taken,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            ring: Sender::new(RING),
            joined: Notify::new(),
            places: Places::new(MOST, MOST_OF_ONE),
            readers: Semaphore::new(READERS),
        }
    }
}

impl Feed {
    /// # Errors
    /// Too many listen, or the account does so too often.
    pub fn join(&self, account: Uuid) -> Result<Place, NoPlace> {
        let taken = self.places.enter(account)?;
        let batches = self.ring.subscribe();
        self.joined.notify_one();
        Ok(Place { batches, _taken: taken })
    }

    fn is_heard(&self) -> bool {
        self.ring.receiver_count() > 0
    }
}

/// Reads for all who listen, for as long as it is polled.
pub async fn follow(state: &State) {
    loop {
        state.events.joined.notified().await;
        read_along(state).await;
    }
}

/// Until nobody listens any more.
async fn read_along(state: &State) {
    let feed = &state.events;
    let mut seen: Option<Position> = None;
    let mut failures = 0;
    while feed.is_heard() {
        match look(state, seen).await {
            Ok((now, is_full)) => {
                failures = 0;
                seen = Some(now);
                if is_full {
                    continue;
                }
                sleep(LOOK).await;
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Events cannot be read; trying again"
                );
                sleep(AGAIN.after(failures)).await;
            }
        }
    }
}

/// Up to where the table was read, and whether there is more.
async fn look(state: &State, seen: Option<Position>) -> Result<(Position, bool), sqlx::Error> {
    let Some(seen) = seen else {
        return Ok((page::present(&state.database).await?.last, true));
    };
    let page = page::read(&state.database, seen).await?;
    if page.events.is_empty() {
        return Ok((page.to, false));
    }
    let (to, is_full) = (page.to, page.is_full);
    let batch = Batch {
        server: page.server,
        from: seen,
        to,
        events: page.events,
    };
    // Nobody listens any more, or somebody does.
    let _heard = state.events.ring.send(Arc::new(batch));
    Ok((to, is_full))
}
