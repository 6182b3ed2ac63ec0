//! Counts at a Redis that all gateways share: one call of one script for each request.

use std::fmt;
use std::time::Duration;

use quick_cache::sync::Cache;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, RedisError, Script};
use service_kit::start::StartError;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer::{Refusal, Standing};
use super::connection::Connection;
use super::key::Key;
use super::{Counted, Counts, Verdict};

/// How long it may take to connect and to count once. No request waits for that.
const CONNECTING: Duration = Duration::from_secs(2);

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is looked whether a connection still counts. One that nobody uses may be dead, and nobody would know.
const LOOK: Duration = Duration::from_secs(5);

/// A connection over which nothing is acknowledged for this long is given up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// Keys that are remembered as full: a few megabytes.
const REMEMBERED: usize = 20_000;

/// Counted under to see whether anything can be. It lives for a millisecond.
const TRIAL: &str = "voltgate:rate:trial";

/// See the [module](self).
pub struct Redis {
    client: Client,
    connection: Connection,
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
    #[error("there is no connection")]
    Away,
    #[error("it did not answer in time")]
    TooLate,
    #[error(transparent)]
    Failed(#[from] RedisError),
    #[error("its answer is none of the script's")]
    Nonsense,
}

impl Uncounted {
    /// Nothing will come over this connection any more.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Failed(error) => error.is_connection_dropped(),
            Self::Away | Self::TooLate | Self::Nonsense => false,
        }
    }
}

impl Redis {
    /// It is not connected yet.
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
        Ok(Self {
            client: Client::open(place).map_err(unusable)?,
            connection: Connection::default(),
            script: Script::new(include_str!("script.lua")),
            patience,
            full: Cache::new(REMEMBERED),
        })
    }

    /// Connects, if it can be done now.
    pub async fn connect(&self) {
        match timeout(CONNECTING, self.try_to_connect()).await {
            Ok(Ok(connection)) => self.connection.set(connection),
            Ok(Err(error)) => self.connection.away(&error),
            Err(_) => self.connection.away(&Uncounted::TooLate),
        }
    }

    /// Connects where there is no connection, and looks after the one that there is, for as long as it is polled.
    pub async fn follow(&self) {
        let mut next_attempt = Instant::now();
        loop {
            let Some(live) = self.connection.get() else {
                sleep_until(next_attempt).await;
                next_attempt = Instant::now() + PAUSE;
                self.connect().await;
                continue;
            };
            if timeout(LOOK, self.connection.given_up()).await.is_err()
                && let Err(error) = self.try_out(live.connection.clone()).await
            {
                self.connection.give_up(&live, &error);
            }
        }
    }

    async fn try_to_connect(&self) -> Result<MultiplexedConnection, Uncounted> {
        // Each call has a time of its own here.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        self.try_out(connection.clone()).await?;
        Ok(connection)
    }

    /// Whether anything can be counted over it. A server that answers may have lost the leave to write.
    async fn try_out(&self, mut connection: MultiplexedConnection) -> Result<(), Uncounted> {
        let mut call = self.script.prepare_invoke();
        call.key(TRIAL).arg(1).arg(1_000);
        let answer = timeout(CONNECTING, call.invoke_async::<Vec<u64>>(&mut connection)).await;
        answer.map_err(|_| Uncounted::TooLate)??;
        Ok(())
    }

    /// # Errors
    /// It is away, did not answer, or not in time.
    pub async fn count<'l>(&self, counts: &Counts<'l>) -> Result<Verdict<'l>, Uncounted> {
        let mut live = self.connection.get().ok_or(Uncounted::Away)?;
        let counted = self.ask(&mut live.connection, counts).await;
        match &counted {
            Ok(_) => self.connection.counted(&live),
            Err(error) => self.connection.failed(&live, error),
        }
        counted
    }

    async fn ask<'l>(
        &self,
        connection: &mut MultiplexedConnection,
        counts: &Counts<'l>,
    ) -> Result<Verdict<'l>, Uncounted> {
        let mut call = self.script.prepare_invoke();
        for Counted { policy, key } in counts.iter().flatten() {
            call.key(key.in_redis(policy));
            call.arg(policy.quota.interval()).arg(policy.tolerance());
        }
        let answer = timeout(self.patience, call.invoke_async::<Vec<u64>>(connection)).await;
        let answer = answer.map_err(|_| Uncounted::TooLate)??;
        self.read(counts, &answer).ok_or(Uncounted::Nonsense)
    }

    /// What is known without asking: that a key is full.
    pub fn remembered<'l>(&self, counts: &Counts<'l>) -> Option<Refusal<'l>> {
        let now = Instant::now();
        counts.iter().flatten().find_map(|Counted { policy, key }| {
            let wait = self.full.get(key)?.checked_duration_since(now)?;
            (!wait.is_zero()).then_some(Refusal { policy, wait })
        })
    }

    #[cfg(test)]
    pub fn is_connected(&self) -> bool {
        self.connection.get().is_some()
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
