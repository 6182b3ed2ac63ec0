//! Counts at Redis while it is there. While it is not, a setting says what holds in its place, and no request waits for it.

use std::time::Duration;

use clap::ValueEnum;
use service_kit::reason::Reason;
use tonic::Status;

use super::answer::Standing;
use super::memory::{Memory, Ticking};
use super::redis::Redis;
use super::{Counts, Verdict};

/// How long a client should wait that cannot be counted: Redis is sought once a second.
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
    pub redis: Redis,
    memory: Memory<Ticking>,
    outage: Outage,
}

impl Shared {
    pub fn new(redis: Redis, memory: Memory<Ticking>, outage: Outage) -> Self {
        Self { redis, memory, outage }
    }

    /// # Errors
    /// Redis is away, and nobody is to be let in.
    pub async fn count<'l>(&self, counts: &Counts<'l>) -> Result<Verdict<'l>, Status> {
        // Before Redis is thought of: that a key is full says nothing of whether Redis is there.
        if let Some(refusal) = self.redis.remembered(counts) {
            return Ok(Err(refusal));
        }
        match self.redis.count(counts).await {
            Ok(verdict) => Ok(verdict),
            Err(_) => self.without(counts),
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
}
