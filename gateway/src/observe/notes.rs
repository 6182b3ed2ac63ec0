//! What becomes known of a request on its way, noted for its line. Wherever that is, it is the request's own task that works.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service_kit::access::Caller;
use tokio::time::Instant;
use uuid::Uuid;

tokio::task_local! {
    static NOTES: Arc<Notes>;
}

#[derive(Debug, Default)]
pub struct Notes {
    /// Bytes of the request's body, where they had to be counted.
    pub bytes_in: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Clone, Debug, Default)]
pub struct Known {
    pub account: Option<Uuid>,
    /// The last replica that was asked.
    pub replica: Option<Asked>,
    /// How often one was.
    pub attempts: u32,
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub upstream: Arc<str>,
    pub address: SocketAddr,
    since: Instant,
    /// Until its answer began.
    pub took: Option<Duration>,
}

impl Notes {
    pub fn known(&self) -> Known {
        self.lock().clone()
    }

    pub fn count_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works with these notes at hand.
pub async fn keep<T>(notes: Arc<Notes>, work: impl Future<Output = T>) -> T {
    NOTES.scope(notes, work).await
}

fn note(write: impl FnOnce(&mut Known)) {
    // Where nobody asked for anything, such as for a probe, there is no line to be written.
    let _noted = NOTES.try_with(|notes| write(&mut notes.lock()));
}

/// Whose request it is.
pub fn account(caller: &Caller) {
    if let Caller::Account { id, .. } = caller {
        note(|known| known.account = Some(*id));
    }
}

/// A replica is asked.
pub fn replica(upstream: &Arc<str>, address: SocketAddr) {
    note(|known| {
        known.attempts += 1;
        known.replica = Some(Asked {
            upstream: Arc::clone(upstream),
            address,
            since: Instant::now(),
            took: None,
        });
    });
}

/// Its answer begins, or failed to.
pub fn answered() {
    note(|known| {
        if let Some(asked) = &mut known.replica {
            asked.took.get_or_insert_with(|| asked.since.elapsed());
        }
    });
}
