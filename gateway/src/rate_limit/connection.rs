//! The connection to Redis. One task makes it, looks whether it is good for anything, and makes it anew; requests take it where there is
//! one, and never wait for it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;

use super::redis::Uncounted;

/// Failures in a row after which a connection is given up. One answer that is late says nothing yet.
const FAILURES: u32 = 3;

/// The connection, while there is one that counts.
#[derive(Default)]
pub struct Connection {
    current: RwLock<Option<Live>>,
    given_up: Notify,
    /// Whether the log says that there is none.
    told: AtomicBool,
}

/// A connection over which requests have been counted.
#[derive(Clone)]
pub struct Live {
    pub connection: MultiplexedConnection,
    /// In a row, and its own: what fails late on a connection that was given up says nothing of the next one.
    failures: Arc<AtomicU32>,
}

impl Connection {
    pub fn get(&self) -> Option<Live> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on it is this one.
    pub fn set(&self, connection: MultiplexedConnection) {
        let live = Live {
            connection,
            failures: Arc::default(),
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(live);
        metrics::gauge!("voltgate_gateway_redis_connected").set(1.0);
        if self.told.swap(false, Ordering::AcqRel) {
            tracing::info!("Redis answers again, and requests are counted there");
        }
    }

    /// Redis has counted over this one.
    pub fn counted(&self, live: &Live) {
        if live.failures.load(Ordering::Relaxed) != 0 {
            live.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Redis has not counted over this one. After some failures it is given up, whatever they were: a Redis that became a replica, or
    /// a peer that went silent, leaves the connection standing.
    pub fn failed(&self, live: &Live, error: &Uncounted) {
        if live.failures.fetch_add(1, Ordering::AcqRel) + 1 >= FAILURES || error.is_final() {
            self.give_up(live, error);
        }
    }

    /// There is none any more, if it is still this one.
    pub fn give_up(&self, live: &Live, error: &Uncounted) {
        {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            if !current.as_ref().is_some_and(|current| current.is(live)) {
                return;
            }
            *current = None;
        }
        self.away(error);
        self.given_up.notify_one();
    }

    /// Requests are counted without Redis. The log is told once, until they are counted there again.
    pub fn away(&self, error: &Uncounted) {
        metrics::gauge!("voltgate_gateway_redis_connected").set(0.0);
        if !self.told.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "Redis is away; GATEWAY_RATE_LIMIT_OUTAGE says what holds meanwhile"
            );
        }
    }

    /// Waits until a connection is given up.
    pub async fn given_up(&self) {
        self.given_up.notified().await;
    }
}

impl Live {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.failures, &other.failures)
    }
}
