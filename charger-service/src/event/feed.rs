//! What all listeners of a replica hear, read once for all of them.
//!
//! One task reads the table as it grows, and only while somebody listens. NOTIFY would be told by every commit, and commits
//! that tell something wait for each other; a look every quarter of a second costs the same whether nothing happens or a
//! thousand things a second. Who listens gets what was read through a ring of a bounded size: one that is too slow for it finds
//! that out, and reads the table alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::{Receiver, Sender};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::page::{self, Happened};
use super::position::Position;
use crate::State;

/// Between two looks at the table.
const LOOK: Duration = Duration::from_millis(250);

/// Batches in the ring, each a page at the most: some 10 MB together.
const RING: usize = 32;

/// Who may listen at one replica. A gateway has no more streams than that.
const MOST: usize = 1000;

/// Who may read the table alone at once. They have long ways to go, perhaps, and there are few connections.
const READERS: usize = 3;

/// Events that came one after the other.
#[derive(Debug)]
pub struct Batch {
    /// Nothing happened between the batch before and this; where the task has just begun, nobody has read further.
    pub from: Position,
    pub to: Position,
    pub events: Vec<Happened>,
}

/// A replica's feed.
#[derive(Debug)]
pub struct Feed {
    ring: Sender<Arc<Batch>>,
    joined: Notify,
    places: Arc<Semaphore>,
    pub readers: Semaphore,
}

/// Somebody's place at the feed.
#[derive(Debug)]
pub struct Place {
    pub batches: Receiver<Arc<Batch>>,
    _permit: OwnedSemaphorePermit,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            ring: Sender::new(RING),
            joined: Notify::new(),
            places: Arc::new(Semaphore::new(MOST)),
            readers: Semaphore::new(READERS),
        }
    }
}

impl Feed {
    /// None where too many listen.
    pub fn join(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let batches = self.ring.subscribe();
        self.joined.notify_one();
        Some(Place {
            batches,
            _permit: permit,
        })
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
    // Where the table was read up to, and where the last batch has ended.
    let mut seen: Option<(Position, Position)> = None;
    while feed.is_heard() {
        match look(state, seen).await {
            Ok((now, is_full)) => {
                seen = Some(now);
                if is_full {
                    continue;
                }
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "Events cannot be read; trying again"
            ),
        }
        sleep(LOOK).await;
    }
}

async fn look(state: &State, seen: Option<(Position, Position)>) -> Result<((Position, Position), bool), sqlx::Error> {
    let Some((read, told)) = seen else {
        let begin = Position::before(page::present(&state.database).await?.xmin);
        return Ok(((begin, begin), true));
    };
    let page = page::read(&state.database, read).await?;
    if page.events.is_empty() {
        return Ok(((page.to, told), false));
    }
    let batch = Batch {
        from: told,
        to: page.to,
        events: page.events,
    };
    // Nobody listens any more, or somebody does.
    let _heard = state.events.ring.send(Arc::new(batch));
    Ok(((page.to, page.to), page.is_full))
}
