//! What each service last said of itself. Anybody may ask how the services are, by REST and by gRPC, once or for ever, and each question
//! would be one to every replica: so a service is asked once a second, whoever wants to know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tonic_health::pb::health_check_response::ServingStatus;

use super::Health;
use crate::routes::{Routes, Rpcs};
use crate::upstream::{Upstream, Upstreams};

/// A word is good for so long.
const FRESH: Duration = Duration::from_secs(1);

/// Of every gRPC service behind the gateway.
#[derive(Debug)]
pub struct LastWords {
    /// By full name.
    services: HashMap<String, Service>,
    /// The full names of those that REST needs of each upstream.
    needed: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug)]
struct Service {
    upstream: Arc<Upstream>,
    /// Some of its RPCs are not for Voltgate's own processes only.
    is_public: bool,
    word: LastWord,
}

/// What was said, and when.
#[derive(Clone, Debug, Default)]
struct LastWord(Arc<Mutex<Option<(Instant, Health)>>>);

impl LastWords {
    pub fn new(upstreams: &Upstreams, routes: &Routes, rpcs: &Rpcs) -> Self {
        let public = rpcs.public_services();
        let by_grpc = public
            .iter()
            .filter_map(|service| Some(((*service).to_owned(), rpcs.public_rpc_of(service)?.upstream.clone())));
        let by_rest = || {
            routes.endpoints().map(|endpoint| {
                let service = endpoint.rpc.parent_service().full_name().to_owned();
                (service, endpoint.upstream.clone())
            })
        };
        let all = by_grpc.chain(by_rest()).filter_map(|(name, upstream)| {
            let service = Service {
                upstream: Arc::clone(upstreams.get(&upstream)?),
                is_public: public.contains(name.as_str()),
                word: LastWord::default(),
            };
            Some((name, service))
        });
        let mut needed: BTreeMap<_, BTreeSet<_>> = upstreams
            .iter()
            .map(|upstream| (upstream.name().to_owned(), BTreeSet::new()))
            .collect();
        for (service, upstream) in by_rest() {
            needed.entry(upstream).or_default().insert(service);
        }
        Self {
            services: all.collect(),
            needed,
        }
    }

    /// How each upstream is: as the worst of its services that REST needs.
    pub async fn of_upstreams(&self, tasks: &TaskTracker) -> BTreeMap<String, Health> {
        let words = self.needed.iter().map(|(upstream, services)| async {
            let words = join_all(services.iter().map(|service| self.of(tasks, service))).await;
            let worst = words.into_iter().max().unwrap_or(Health::Serving);
            (upstream.clone(), worst)
        });
        join_all(words).await.into_iter().collect()
    }

    /// How a service is that somebody names from outside; nothing where there is none for them.
    pub async fn of_public(&self, tasks: &TaskTracker, name: &str) -> Option<Health> {
        let service = self.services.get(name).filter(|service| service.is_public)?;
        Some(service.last_word(tasks, name).await)
    }

    async fn of(&self, tasks: &TaskTracker, name: &str) -> Health {
        match self.services.get(name) {
            Some(service) => service.last_word(tasks, name).await,
            None => Health::Unreachable,
        }
    }
}

impl Service {
    async fn last_word(&self, tasks: &TaskTracker, name: &str) -> Health {
        let asking = || {
            let (upstream, name) = (Arc::clone(&self.upstream), name.to_owned());
            async move { ask(&upstream, &name).await }
        };
        self.word.or(tasks, asking).await
    }
}

impl LastWord {
    /// It, or what comes of asking where it is too old. One asks at a time; whoever comes meanwhile hears the same.
    async fn or<A>(&self, tasks: &TaskTracker, ask: impl FnOnce() -> A) -> Health
    where
        A: Future<Output = Health> + Send + 'static,
    {
        let mut last = Arc::clone(&self.0).lock_owned().await;
        if let Some((said, health)) = *last
            && said.elapsed() < FRESH
        {
            return health;
        }
        // By a task of its own: whoever asks may go away, and what comes of it is good for the next.
        let ask = ask();
        let asking = tasks.spawn(async move {
            let health = ask.await;
            *last = Some((Instant::now(), health));
            health
        });
        asking.await.unwrap_or(Health::Unreachable)
    }
}

/// How one gRPC service is, by its full name: as its best replica.
async fn ask(upstream: &Upstream, service: &str) -> Health {
    let replicas = upstream.replicas();
    let answers = join_all(replicas.iter().map(|replica| replica.health(service.to_owned()))).await;
    let health = answers.into_iter().map(|answer| match answer {
        Some(ServingStatus::Serving) => Health::Serving,
        Some(_) => Health::NotServing,
        None => Health::Unreachable,
    });
    health.min().unwrap_or(Health::Unreachable)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::{sleep, timeout};

    use super::*;

    /// A service that is slow, and counts how often it is asked.
    fn slow(asked: &Arc<AtomicU32>) -> impl Future<Output = Health> + Send + use<> {
        let asked = Arc::clone(asked);
        async move {
            asked.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(500)).await;
            Health::Serving
        }
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_how_a_service_is_it_is_asked_once_a_second() {
        let (word, tasks, asked) = (LastWord::default(), TaskTracker::new(), Arc::default());
        for round in 1..=3 {
            let told = join_all((0..50).map(|_| word.or(&tasks, || slow(&asked)))).await;
            assert_eq!(told, [Health::Serving; 50]);
            assert_eq!(asked.load(Ordering::Relaxed), round);
            sleep(FRESH).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_and_goes_away_leaves_the_answer_to_the_next() {
        let (word, tasks, asked) = (LastWord::default(), TaskTracker::new(), Arc::default());
        for _ in 0..50 {
            let gone = timeout(Duration::from_millis(5), word.or(&tasks, || slow(&asked))).await;
            assert!(gone.is_err());
        }
        assert_eq!(word.or(&tasks, || slow(&asked)).await, Health::Serving);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
