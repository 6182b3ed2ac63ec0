//! What becomes known of a request on its way, noted for its line. Wherever that is, it is the request's own task that works, or
//! the one that sends its answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service_kit::access::Caller;
use tokio::time::Instant;
use uuid::Uuid;

use super::route::Route;

tokio::task_local! {
    static NOTES: Arc<Notes>;
}

#[derive(Debug, Default)]
pub struct Notes {
    /// Bytes of the request's body, where they had to be counted.
    pub bytes_in: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
pub struct Known {
    pub route: Route,
    pub account: Option<Uuid>,
    /// The last replica that was asked.
    pub replica: Option<Asked>,
    /// How often one was.
    pub attempts: u32,
}

#[derive(Debug)]
pub struct Asked {
    pub upstream: Arc<str>,
    pub address: SocketAddr,
    since: Instant,
    /// Until its answer began.
    pub took: Option<Duration>,
}

impl Notes {
    /// Of a request whose route may be known already.
    pub fn of(route: Route) -> Self {
        let known = Known {
            route,
            ..Known::default()
        };
        Self {
            known: Mutex::new(known),
            ..Self::default()
        }
    }

    pub fn route(&self) -> Route {
        self.lock().route.clone()
    }

    /// All of it, for the line. Nothing is left.
    pub fn take(&self) -> Known {
        std::mem::take(&mut *self.lock())
    }

    pub fn count_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works with these notes at hand.
pub fn keep<F: Future>(notes: Arc<Notes>, work: F) -> impl Future<Output = F::Output> {
    NOTES.scope(notes, work)
}

/// For what is polled by somebody else's task, such as the body of an answer.
pub fn within<T>(notes: &Arc<Notes>, work: impl FnOnce() -> T) -> T {
    NOTES.sync_scope(Arc::clone(notes), work)
}

fn note(write: impl FnOnce(&mut Known)) {
    // Where nobody asked for anything, such as for a probe, there is no line to be written.
    let _noted = NOTES.try_with(|notes| write(&mut notes.lock()));
}

/// What it asks for.
pub fn found(route: Route) {
    note(|known| known.route = route);
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
