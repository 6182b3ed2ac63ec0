//! Counts at Redis while it is there. While it is not, a setting says what holds in its place, and no request waits for it: after a few
//! failures in a row one request a second asks it, and the others do not.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use service_kit::reason::Reason;
use tokio::time::Instant;
use tonic::Status;

use super::answer::Standing;
use super::memory::{Memory, Ticking};
use super::redis::{Redis, Uncounted};
use super::{Counts, Verdict};

/// Failures in a row after which Redis is taken to be away. One answer that is late says nothing yet.
const FAILURES: u32 = 3;

/// How long it is left alone then.
const PAUSE: Duration = Duration::from_secs(1);

/// What holds while Redis is away.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Outage {
    /// Each gateway counts for itself, with the same limits.
    Memory,
    /// Nobody is counted.
    Open,
    /// Nobody is let in.
    Closed,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Shared {
    redis: Redis,
    memory: Memory<Ticking>,
    outage: Outage,
    failures: AtomicU32,
    /// In milliseconds since `started`.
    away_until: AtomicU64,
    started: Instant,
}

impl Shared {
    pub fn new(redis: Redis, memory: Memory<Ticking>, outage: Outage) -> Self {
        metrics::gauge!("voltgate_gateway_redis_connected").set(1.0);
        Self {
            redis,
            memory,
            outage,
            failures: AtomicU32::new(0),
            away_until: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// # Errors
    /// Redis is away, and nobody is to be let in.
    pub async fn count<'l>(&self, counts: &Counts<'l>) -> Result<Verdict<'l>, Status> {
        if !self.may_ask() {
            return self.without(counts);
        }
        match self.redis.count(counts).await {
            Ok(verdict) => {
                self.answered();
                Ok(verdict)
            }
            Err(uncounted) => {
                self.failed(&uncounted);
                self.without(counts)
            }
        }
    }

    /// Whether a request may ask Redis. Of those that come after a pause one may, and begins the next.
    fn may_ask(&self) -> bool {
        let until = self.away_until.load(Ordering::Acquire);
        let now = self.milliseconds();
        if until == 0 {
            return true;
        }
        now >= until
            && self
                .away_until
                .compare_exchange(until, now + pause(), Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    fn answered(&self) {
        self.failures.store(0, Ordering::Release);
        if self.away_until.load(Ordering::Acquire) != 0 && self.away_until.swap(0, Ordering::AcqRel) != 0 {
            metrics::gauge!("voltgate_gateway_redis_connected").set(1.0);
            tracing::info!("Redis answers again, and requests are counted there");
        }
    }

    fn failed(&self, error: &Uncounted) {
        if self.failures.fetch_add(1, Ordering::AcqRel) + 1 < FAILURES {
            return;
        }
        if self.away_until.swap(self.milliseconds() + pause(), Ordering::AcqRel) == 0 {
            metrics::gauge!("voltgate_gateway_redis_connected").set(0.0);
            let outage = self.outage;
            tracing::warn!(
                error = error as &dyn std::error::Error,
                ?outage,
                "Redis is away; GATEWAY_RATE_LIMIT_OUTAGE says what holds meanwhile"
            );
        }
    }

    fn without<'l>(&self, counts: &Counts<'l>) -> Result<Verdict<'l>, Status> {
        metrics::counter!("voltgate_gateway_rate_limit_without_redis_total").increment(1);
        match self.outage {
            Outage::Memory => Ok(self.memory.count(counts)),
            Outage::Open => Ok(Ok(Standing::default())),
            Outage::Closed => Err(Reason::Unavailable.retry_after(
                PAUSE,
                "Requests cannot be counted just now, and none is let in uncounted",
            )),
        }
    }

    /// Never zero.
    fn milliseconds(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis())
            .unwrap_or(u64::MAX - pause())
            .max(1)
    }
}

fn pause() -> u64 {
    PAUSE.as_millis() as u64
}
