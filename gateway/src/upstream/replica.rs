//! One replica of a service: what is under way there, and whether it can be relied on.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::connection::{Channel, Slot};
use super::dial::Destination;
use super::ejection::{Failure, Record};
use super::pool::{Bounds, NoRoom, Pool};
use super::settings::EjectionRules;
use crate::observe;

/// Connections for calls, and for sockets. Sockets have their own, so that ten thousand of them do not slow down calls.
const FOR_CALLS: Bounds = Bounds {
    streams: 200,
    connections: 32,
};
const FOR_SOCKETS: Bounds = Bounds {
    streams: 256,
    connections: 256,
};

/// How long others are preferred after a stream was lost, and after the replica said that it leaves.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
const AFTER_FAREWELL: Duration = Duration::from_secs(10);

/// How long a replica may take to say how it is.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// What a stream is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// A call, which ends soon.
    Call,
    /// A charge point, which stays.
    Socket,
}

/// One replica.
#[derive(Debug)]
pub struct Replica {
    upstream: Arc<str>,
    destination: Destination,
    calls: Lane,
    sockets: Lane,
    conduct: Mutex<Conduct>,
}

/// Streams of one purpose.
#[derive(Debug)]
struct Lane {
    pool: Pool,
    /// Its clones are the streams under way, those that still connect included.
    under_way: Arc<()>,
}

#[derive(Debug)]
struct Conduct {
    record: Record,
    others_first_until: Option<Instant>,
}

impl Replica {
    pub fn new(upstream: Arc<str>, destination: Destination, rules: EjectionRules) -> Self {
        let lane = |bounds| Lane {
            pool: Pool::new(destination.clone(), bounds),
            under_way: Arc::default(),
        };
        Self {
            calls: lane(FOR_CALLS),
            sockets: lane(FOR_SOCKETS),
            conduct: Mutex::new(Conduct {
                record: Record::new(rules),
                others_first_until: None,
            }),
            upstream,
            destination,
        }
    }

    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Streams of this purpose that are under way.
    pub fn load(&self, purpose: Purpose) -> usize {
        Arc::strong_count(&self.lane(purpose).under_way) - 1
    }

    pub fn is_ejected(&self) -> bool {
        self.conduct().record.is_ejected()
    }

    pub fn wants_probe(&self) -> bool {
        self.conduct().record.wants_probe(Instant::now())
    }

    /// Whether others should be chosen, as long as there are others.
    pub fn others_first(&self) -> bool {
        self.conduct()
            .others_first_until
            .is_some_and(|until| Instant::now() < until)
    }

    /// A stream's place here. It counts from now on.
    ///
    /// # Errors
    /// The replica cannot be connected to, or is full.
    pub async fn line(self: &Arc<Self>, purpose: Purpose) -> Result<Line, NoRoom> {
        let lane = self.lane(purpose);
        let under_way = Arc::clone(&lane.under_way);
        let slot = lane.pool.slot().await.inspect_err(|error| match error {
            NoRoom::Unreachable(cause) => self.failed(Failure::Unreachable, Some(cause)),
            NoRoom::Full => tracing::warn!(
                upstream = %self.upstream,
                replica = %self.destination.address,
                "A replica takes no more streams, on no more connections"
            ),
        })?;
        Ok(Line {
            replica: Arc::clone(self),
            slot,
            _under_way: under_way,
        })
    }

    /// Asks how a gRPC service of it is; of the whole where the name is empty. None where it does not say.
    pub async fn health(self: &Arc<Self>, service: String) -> Option<ServingStatus> {
        let ask = async {
            let line = self.line(Purpose::Call).await.ok()?;
            let answer = HealthClient::new(line.channel())
                .check(HealthCheckRequest { service })
                .await;
            match answer {
                Ok(answer) => Some(answer.get_ref().status()),
                Err(status) if status.code() == tonic::Code::NotFound => Some(ServingStatus::ServiceUnknown),
                Err(_) => None,
            }
        };
        timeout(HEALTH_TIMEOUT, ask).await.ok().flatten()
    }

    /// Looks whether it can come back.
    pub async fn probe(self: &Arc<Self>) {
        if self.health(String::new()).await == Some(ServingStatus::Serving) {
            self.answered();
        } else {
            self.conduct().record.probe_failed(Instant::now());
        }
    }

    /// Others are preferred for some seconds.
    pub(super) fn leave(&self) {
        self.conduct().others_first_until = Some(Instant::now() + AFTER_FAREWELL);
    }

    fn answered(&self) {
        if self.conduct().record.answered(Instant::now()) {
            tracing::info!(upstream = %self.upstream, replica = %self.destination.address, "A replica is back");
        }
    }

    pub(super) fn failed(&self, failure: Failure, cause: Option<&(dyn std::error::Error + 'static)>) {
        let now = Instant::now();
        let ejected = {
            let mut conduct = self.conduct();
            conduct.others_first_until = conduct.others_first_until.max(Some(now + AFTER_FAILURE));
            conduct.record.failed(failure, now)
        };
        if ejected {
            metrics::counter!("voltgate_gateway_ejections_total", "upstream" => self.upstream.to_string()).increment(1);
            tracing::warn!(
                upstream = %self.upstream,
                replica = %self.destination.address,
                error = cause,
                "A replica is ejected, because calls do not reach it"
            );
        }
    }

    /// A stream that is under way in a test.
    #[cfg(test)]
    pub(super) fn hold(&self, purpose: Purpose) -> Arc<()> {
        Arc::clone(&self.lane(purpose).under_way)
    }

    fn lane(&self, purpose: Purpose) -> &Lane {
        match purpose {
            Purpose::Call => &self.calls,
            Purpose::Socket => &self.sockets,
        }
    }

    fn conduct(&self) -> MutexGuard<'_, Conduct> {
        self.conduct.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's place at one replica. It counts there for as long as this is held, so hold it while the stream lives.
#[derive(Debug)]
#[must_use]
pub struct Line {
    replica: Arc<Replica>,
    slot: Slot,
    _under_way: Arc<()>,
}

impl Line {
    /// Where to open the stream, for `tonic::client::Grpc`. One line is for one stream.
    pub fn channel(&self) -> Channel {
        self.slot.channel()
    }

    /// Where the replica is.
    pub fn address(&self) -> SocketAddr {
        self.replica.destination.address
    }

    /// The replica answered, be it with an error of its own.
    pub fn answered(&self) {
        observe::answered();
        self.replica.answered();
    }

    /// The stream was refused or lost, and not by a status of the service. Others are chosen for a moment, and the
    /// replica is ejected when that goes on.
    pub fn failed(&self) {
        self.replica.failed(Failure::Broken, None);
    }

    /// [`Line::answered`] or [`Line::failed`], by whether the status came from the service or was made on this side.
    pub fn judge(&self, status: &Status) {
        match status.source() {
            Some(cause) => {
                observe::answered();
                self.replica.failed(Failure::Broken, Some(cause));
            }
            None => self.answered(),
        }
    }

    /// The replica said that it drains. Others are chosen for the next seconds, as long as there are others.
    pub fn leaving(&self) {
        self.replica.leave();
    }
}
