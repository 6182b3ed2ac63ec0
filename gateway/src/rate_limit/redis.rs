//! Counts at a Redis that all gateways share: one call of one script for each request.

use std::fmt;
use std::time::Duration;

use quick_cache::sync::Cache;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, IntoConnectionInfo as _, RedisError, Script};
use service_kit::start::StartError;
use tokio::time::{Instant, timeout};

use super::answer::{Refusal, Standing};
use super::key::Key;
use super::{Counted, Counts, Verdict};

/// How long it may take to connect. No request waits for that.
const CONNECTING: Duration = Duration::from_secs(2);

/// A connection over which nothing is acknowledged for this long is given up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// Keys that are remembered as full: a few megabytes.
const REMEMBERED: usize = 20_000;

/// See the [module](self).
pub struct Redis {
    connection: ConnectionManager,
    script: Script,
    /// How long a request waits for the answer.
    patience: Duration,
    /// Until when keys are full. A key that is full stays so until it is not, whoever asks, so a flood is refused without a call.
    full: Cache<Key, Instant>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Redis")
    }
}

/// Why there is no count.
#[derive(Debug, thiserror::Error)]
pub enum Uncounted {
    #[error("it did not answer in time")]
    TooLate,
    #[error(transparent)]
    Failed(#[from] RedisError),
    #[error("its answer is none of the script's")]
    Nonsense,
}

impl Redis {
    /// Connects with the first request that there is.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn new(url: &str, patience: Duration) -> Result<Self, StartError> {
        // The error may show the URL, and so a password.
        let unusable =
            |_: RedisError| StartError::setting("REDIS_URL", "is not a URL such as redis://user:password@host:6379/0");
        let tcp = TcpSettings::default().set_nodelay(true);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(UNACKNOWLEDGED);
        let place = url.into_connection_info().map_err(unusable)?.set_tcp_settings(tcp);
        let client = Client::open(place).map_err(unusable)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECTING))
            .set_response_timeout(Some(patience))
            .set_number_of_retries(1);
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config).map_err(unusable)?,
            script: Script::new(include_str!("script.lua")),
            patience,
            full: Cache::new(REMEMBERED),
        })
    }

    /// # Errors
    /// It did not answer, or not in time.
    pub async fn count<'l>(&self, counts: &Counts<'l>) -> Result<Verdict<'l>, Uncounted> {
        if let Some(refusal) = self.remembered(counts) {
            return Ok(Err(refusal));
        }
        let mut call = self.script.prepare_invoke();
        for Counted { policy, key } in counts.iter().flatten() {
            call.key(key.in_redis(policy));
            call.arg(policy.quota.interval()).arg(policy.tolerance());
        }
        let mut connection = self.connection.clone();
        let answer = timeout(self.patience, call.invoke_async(&mut connection)).await;
        let answer: Vec<u64> = answer.map_err(|_| Uncounted::TooLate)??;
        self.read(counts, &answer).ok_or(Uncounted::Nonsense)
    }

    fn remembered<'l>(&self, counts: &Counts<'l>) -> Option<Refusal<'l>> {
        let now = Instant::now();
        counts.iter().flatten().find_map(|Counted { policy, key }| {
            let wait = self.full.get(key)?.checked_duration_since(now)?;
            (!wait.is_zero()).then_some(Refusal { policy, wait })
        })
    }

    fn read<'l>(&self, counts: &Counts<'l>, answer: &[u64]) -> Option<Verdict<'l>> {
        let (full, rest) = answer.split_first()?;
        let mut counted = counts.iter().flatten();
        if let Some(place) = usize::try_from(*full).ok()?.checked_sub(1) {
            let Counted { policy, key } = counted.nth(place)?;
            let wait = Duration::from_micros(*rest.first()?);
            self.full.insert(*key, Instant::now() + wait);
            return Some(Err(Refusal { policy, wait }));
        }
        let mut standing = Standing::default();
        for (Counted { policy, .. }, filled) in counted.zip(rest) {
            let interval = policy.quota.interval();
            let room = (policy.tolerance() + interval).saturating_sub(*filled);
            standing = standing.or(policy, u32::try_from(room / interval).ok()?);
        }
        Some(Ok(standing))
    }
}
