//! Every open socket: how many there are, and their end when the gateway leaves.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::request_id::RequestId;

/// The more sockets there are, the longer their closing is spread, so that stations do not all come back at once.
const SPREAD_PER_SOCKET: Duration = Duration::from_millis(2);

/// Sessions that are being resumed at the same time.
const RESUMING: usize = 128;

/// Open sockets. Clones are the same sockets.
#[derive(Clone, Debug)]
pub struct Sockets {
    ping: Duration,
    patience: Duration,
    resuming: Arc<Semaphore>,
    tasks: TaskTracker,
    leaving: watch::Sender<Option<Leaving>>,
    abandoned: CancellationToken,
}

/// The gateway leaves: sockets close between `from` and `from + spread`.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    from: Instant,
    spread: Duration,
}

/// What a pump knows of the process around it.
#[derive(Debug)]
pub struct Surroundings {
    /// How often a station is asked for a sign of life.
    pub ping: Duration,
    leaving: watch::Receiver<Option<Leaving>>,
    /// This socket's place in the spread, from 0 to 1.
    place: f64,
}

impl Sockets {
    /// `ping`: how often a station is asked for a sign of life. `patience`: how long a socket is kept without a service.
    pub fn new(ping: Duration, patience: Duration) -> Self {
        Self {
            ping,
            patience,
            resuming: Arc::new(Semaphore::new(RESUMING)),
            tasks: TaskTracker::new(),
            leaving: watch::Sender::new(None),
            abandoned: CancellationToken::new(),
        }
    }

    /// How long a socket is kept without a service.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Waits until it is a session's turn to be resumed; the turn ends when the value is dropped.
    pub async fn turn_to_resume(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.resuming.acquire().await.ok()
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        self.tasks.len()
    }

    /// Runs a socket in a task of its own.
    pub fn spawn<F>(&self, request_id: &RequestId, carry: impl FnOnce(Surroundings) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let carry = carry(Surroundings {
            ping: self.ping,
            leaving: self.leaving.subscribe(),
            place: rand::rng().random(),
        });
        let abandoned = self.abandoned.clone();
        let span = tracing::info_span!("socket", request_id = request_id.as_str());
        self.tasks.spawn(
            async move {
                let _open = Counted::new();
                tokio::select! {
                    () = carry => {}
                    () = abandoned.cancelled() => tracing::warn!("A socket did not close in time"),
                }
            }
            .instrument(span),
        );
    }

    /// Closes every socket, spread over at most half of `within`, and abandons what is left when that is over.
    pub async fn close(&self, within: Duration) {
        self.tasks.close();
        let count = u32::try_from(self.open()).unwrap_or(u32::MAX);
        let spread = SPREAD_PER_SOCKET.saturating_mul(count).min(within / 2);
        self.leaving.send_replace(Some(Leaving {
            from: Instant::now(),
            spread,
        }));
        if timeout(within, self.tasks.wait()).await.is_err() {
            self.abandoned.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Surroundings {
    /// Waits until it is this socket's turn to close because the gateway leaves. May be dropped and called again.
    pub async fn leaving(&mut self) {
        let leaving = self.leaving.wait_for(Option::is_some).await.map(|leaving| *leaving);
        if let Ok(Some(Leaving { from, spread })) = leaving {
            sleep_until(from + spread.mul_f64(self.place)).await;
        }
    }
}

/// Keeps the gauge of open sockets right, however a task ends.
struct Counted(metrics::Gauge);

impl Counted {
    fn new() -> Self {
        let gauge = metrics::gauge!("voltgate_gateway_sockets_open");
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
