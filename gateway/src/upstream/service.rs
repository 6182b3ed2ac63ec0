//! One service behind the gateway: its replicas, kept up to date, and what may be asked of them at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::Uri;
use metrics::SharedString;
use service_kit::reason::Reason;
use service_kit::tls::ServiceTls;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tonic::Status;

use super::names::Names;
use super::pool::NoRoom;
use super::replica::{Line, Purpose, Replica};
use super::replicas::Replicas;
use super::retry::RetryBudget;
use super::settings::Rules;
use crate::observe;

/// How soon names are looked up again while there is no replica at all.
const FIRST_LOOKUP_INTERVAL: Duration = Duration::from_secs(1);

/// How often ejected replicas are looked at, whether one wants its probe.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// Replicas that are tried for one stream, until one can be connected to.
const MOST_TRIED: usize = 3;

/// How long a client should wait that was sent away because of too much work.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A service behind the gateway.
#[derive(Debug)]
pub struct Upstream {
    name: Arc<str>,
    names: Mutex<Names>,
    replicas: Replicas,
    calls: Arc<Semaphore>,
    pub(super) retries: RetryBudget,
    /// How often a call is made, the first time included.
    pub(super) attempts: u32,
    lookup_interval: Duration,
}

impl Upstream {
    /// Connects when it is first used, and again whenever a connection is lost. `most_calls` may be under way at once.
    pub fn new(name: &str, origins: Vec<Uri>, most_calls: usize, rules: Rules, tls: Option<ServiceTls>) -> Self {
        Self::of(name, Names::new(origins, tls), most_calls, rules)
    }

    pub(super) fn of(name: &str, names: Names, most_calls: usize, rules: Rules) -> Self {
        let name: Arc<str> = name.into();
        let replicas = Replicas::new(rules.ejection);
        replicas.set(&name, names.destinations());
        Self {
            name,
            names: Mutex::new(names),
            replicas,
            calls: Arc::new(Semaphore::new(most_calls)),
            retries: RetryBudget::new(rules.retry_percent),
            attempts: rules.attempts,
            lookup_interval: rules.lookup_interval,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name, as metrics take it.
    pub fn label(&self) -> SharedString {
        SharedString::from_shared(Arc::clone(&self.name))
    }

    pub fn replicas(&self) -> Arc<[Arc<Replica>]> {
        self.replicas.all()
    }

    /// Leave to make one more call.
    ///
    /// # Errors
    /// Too many are under way: better none than one that waits for its turn until nobody wants its answer.
    pub fn admit(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.calls).try_acquire_owned().map_err(|_| {
            metrics::counter!("voltgate_gateway_shed_total", "upstream" => self.label()).increment(1);
            overloaded()
        })
    }

    /// A replica for one more call, and room on a connection to it.
    ///
    /// # Errors
    /// No replica can be reached, or none has room.
    pub async fn for_call(&self) -> Result<Line, Status> {
        self.line(Purpose::Call, &mut Vec::new()).await
    }

    /// A replica for the stream of one more socket, and room on a connection to it.
    ///
    /// # Errors
    /// No replica can be reached, or none has room.
    pub async fn for_socket(&self) -> Result<Line, Status> {
        self.line(Purpose::Socket, &mut Vec::new()).await
    }

    /// Tries replicas that were not tried yet, and adds those that it does.
    pub(super) async fn line(&self, purpose: Purpose, tried: &mut Vec<Arc<Replica>>) -> Result<Line, Status> {
        let mut why = None;
        for _ in 0..MOST_TRIED.min(self.replicas.all().len()) {
            let Some(replica) = self.replicas.choose(purpose, tried) else {
                break;
            };
            tried.push(Arc::clone(&replica));
            match replica.line(purpose).await {
                Ok(line) => {
                    observe::replica(&self.name, line.address());
                    return Ok(line);
                }
                Err(no_room) => why = Some(no_room),
            }
        }
        Err(match why {
            Some(NoRoom::Full) => overloaded(),
            Some(NoRoom::Unreachable(_)) | None => unreachable(&self.name, why.as_ref().map(|why| why as _)),
        })
    }

    /// Finds the replicas out.
    pub async fn look_up(&self) {
        let mut names = self.names.lock().await;
        names.look_up().await;
        self.replicas.set(&self.name, names.destinations());
    }

    /// Looks names up and probes ejected replicas, for as long as it is polled.
    pub async fn maintain(&self) {
        tokio::join!(self.keep_looking_up(), self.keep_probing());
    }

    async fn keep_looking_up(&self) {
        if self.names.lock().await.are_fixed() {
            return;
        }
        loop {
            let wait = if self.replicas.all().is_empty() {
                FIRST_LOOKUP_INTERVAL
            } else {
                self.lookup_interval
            };
            sleep(wait).await;
            self.look_up().await;
        }
    }

    async fn keep_probing(&self) {
        loop {
            let all = self.replicas.all();
            let probes = all.iter().filter(|replica| replica.wants_probe()).map(Replica::probe);
            join_all(probes).await;
            self.count(&all);
            sleep(PROBE_INTERVAL).await;
        }
    }

    fn count(&self, all: &[Arc<Replica>]) {
        let ejected = all.iter().filter(|replica| replica.is_ejected()).count();
        for (purpose, of) in [("call", Purpose::Call), ("socket", Purpose::Socket)] {
            let under_way: usize = all.iter().map(|replica| replica.load(of)).sum();
            metrics::gauge!("voltgate_gateway_upstream_in_flight", "upstream" => self.label(), "purpose" => purpose)
                .set(under_way as f64);
        }
        for (state, replicas) in [("ejected", ejected), ("healthy", all.len() - ejected)] {
            metrics::gauge!("voltgate_gateway_replicas", "upstream" => self.label(), "state" => state)
                .set(replicas as f64);
        }
    }
}

fn overloaded() -> Status {
    Reason::Overloaded.retry_after(
        RETRY_AFTER,
        "The service behind this endpoint has too much to do just now",
    )
}

/// What a client is told of a service that cannot be reached. The log is told why.
pub(super) fn unreachable(upstream: &str, why: Option<&(dyn std::error::Error + 'static)>) -> Status {
    tracing::warn!(upstream, error = why, "A service cannot be reached");
    Reason::Unavailable.status("The service behind this endpoint cannot be reached just now")
}
