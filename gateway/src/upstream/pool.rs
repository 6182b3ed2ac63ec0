//! The connections to one replica for one kind of stream. They are opened as they are needed, so that no stream ever waits
//! for another to end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use super::connection::{Connection, Slot, Unreachable};
use super::dial::Destination;

/// Bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Streams on one connection, where the peer does not allow fewer. One connection's loss, or its share of bandwidth,
    /// is then the matter of so many only.
    pub streams: usize,
    pub connections: usize,
}

/// Why there is no room for one more stream.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoRoom {
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error("as many connections as there may be are full")]
    Full,
}

/// Connections to one replica.
#[derive(Debug)]
pub struct Pool {
    destination: Destination,
    bounds: Bounds,
    open: Mutex<Vec<Arc<Connection>>>,
    /// Held by whoever opens a connection, with how the last attempt failed. Others wait, and share its result.
    opening: AsyncMutex<Option<Unreachable>>,
    failures: AtomicU64,
}

impl Pool {
    pub fn new(destination: Destination, bounds: Bounds) -> Self {
        Self {
            destination,
            bounds,
            open: Mutex::default(),
            opening: AsyncMutex::default(),
            failures: AtomicU64::new(0),
        }
    }

    /// Room for one stream, on a new connection where those that are open have none.
    ///
    /// # Errors
    /// A connection cannot be opened, or there are as many as there may be.
    pub async fn slot(&self) -> Result<Slot, NoRoom> {
        let failures = self.failures.load(Ordering::Acquire);
        if let Some(slot) = self.take() {
            return Ok(slot);
        }
        let mut last_failure = self.opening.lock().await;
        loop {
            if let Some(slot) = self.take() {
                return Ok(slot);
            }
            // Somebody tried while this one waited: trying again for everybody in turn would take minutes.
            if let Some(failure) = last_failure.as_ref()
                && self.failures.load(Ordering::Acquire) != failures
            {
                return Err(failure.clone().into());
            }
            if self.lock().len() >= self.bounds.connections {
                return Err(NoRoom::Full);
            }
            match Connection::open(&self.destination).await {
                Ok(connection) => self.lock().push(Arc::new(connection)),
                Err(failure) => {
                    *last_failure = Some(failure.clone());
                    self.failures.fetch_add(1, Ordering::Release);
                    return Err(failure.into());
                }
            }
        }
    }

    /// On the connection with the fewest streams.
    fn take(&self) -> Option<Slot> {
        let mut open = self.lock();
        open.retain(|connection| !connection.is_closed());
        open.sort_by_key(|connection| connection.streams());
        open.iter().find_map(|connection| connection.take(self.bounds.streams))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
