//! How often somebody may ask.
//!
//! Each request is counted once, by its head alone, under at most two keys: for who it comes from, as far as they have proven it, and
//! for the address that it comes from. What is counted together is the class of its RPC (`class`), how much there is for whom is a
//! setting (`policy`). Whoever asks too often hears how long to wait (`answer`).
//!
//! Counting is GCRA, here (`memory`) or at a Redis that all gateways share (`shared`), with the same outcome. A request that is refused
//! changes nothing, so that asking on does not make the wait longer.

mod answer;
mod class;
mod connection;
mod key;
mod memory;
mod policy;
mod redis;
mod settings;
mod shared;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use service_kit::access::Caller;
use service_kit::network::Network;
use service_kit::start::StartError;
use tonic::Status;
use uuid::Uuid;

pub use answer::Standing;
pub use class::Class;
pub use settings::RateLimitSettings;

use answer::Refusal;
use key::{Key, Subject};
use memory::{Memory, Ticking};
use policy::{Policies, Policy};
use shared::Shared;

/// From whom a request comes.
#[derive(Clone, Copy, Debug)]
pub enum Who<'r> {
    /// Has not proven who they are.
    Stranger,
    Account(Uuid),
    ApiKey(Uuid),
    /// Says that it is the charge point of this identity; whether it is, only its service can tell.
    Station(&'r str),
}

impl Who<'_> {
    pub fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Account {
                session,
                scopes: Some(_),
                ..
            } => Self::ApiKey(*session),
            Caller::Account { id, .. } => Self::Account(*id),
            Caller::Anonymous | Caller::Service { .. } => Self::Stranger,
        }
    }
}

/// One key that a request is counted under.
#[derive(Clone, Copy, Debug)]
struct Counted<'l> {
    policy: &'l Policy,
    key: Key,
}

/// Those of a request, the narrowest first. Where one is full, those behind it are left as they are.
type Counts<'l> = [Option<Counted<'l>>; 2];

/// What counting came to: a refusal where one of the keys is full.
type Verdict<'l> = Result<Standing<'l>, Refusal<'l>>;

/// The limits of a gateway.
#[derive(Debug)]
pub struct Limits {
    policies: Policies,
    counter: Counter,
}

#[derive(Debug)]
enum Counter {
    Memory(Memory<Ticking>),
    Shared(Box<Shared>),
}

impl Limits {
    /// # Errors
    /// A setting cannot be used.
    pub fn new(settings: &RateLimitSettings) -> Result<Self, StartError> {
        let policies = settings.policies();
        let memory = Memory::new(&policies, Ticking::new());
        let counter = match settings.redis()? {
            Some(redis) if !policies.is_empty() => {
                Counter::Shared(Box::new(Shared::new(redis, memory, settings.gateway_rate_limit_outage)))
            }
            Some(_) | None => Counter::Memory(memory),
        };
        Ok(Self { policies, counter })
    }

    /// Connects to Redis, where there is one and it can be done now.
    pub async fn connect(&self) {
        if let Counter::Shared(shared) = &self.counter {
            shared.redis.connect().await;
        }
    }

    /// Looks after the connection to Redis, for as long as it is polled. It never ends by itself.
    pub async fn follow(&self) {
        match &self.counter {
            Counter::Memory(_) => std::future::pending().await,
            Counter::Shared(shared) => shared.redis.follow().await,
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// There were too many, or they cannot be counted and must not go on uncounted.
    pub async fn count(&self, class: Class, who: Who<'_>, address: IpAddr) -> Result<Standing<'_>, Status> {
        let counts = self.counts(class, who, address);
        if counts.iter().all(Option::is_none) {
            return Ok(Standing::default());
        }
        let verdict = match &self.counter {
            Counter::Memory(memory) => memory.count(&counts),
            Counter::Shared(shared) => shared.count(&counts).await?,
        };
        verdict.map_err(|refusal| {
            metrics::counter!("voltgate_gateway_rate_limited_total", "policy" => refusal.policy.name.clone())
                .increment(1);
            refusal.into()
        })
    }

    fn counts(&self, class: Class, who: Who<'_>, address: IpAddr) -> Counts<'_> {
        let limits = self.policies.of(class);
        let network = Network::of(address);
        let at = Subject::network(network);
        let (policy, subject) = match who {
            Who::Stranger => (&limits.stranger, at),
            Who::Account(id) => (&limits.account, Subject::id(id)),
            Who::ApiKey(id) => (&limits.key, Subject::id(id)),
            // A stranger who says somebody's identity elsewhere takes nothing away from the charge point.
            Who::Station(identity) => (&limits.station, Subject::station(identity, network)),
        };
        [counted(policy, subject), counted(&limits.address, at)]
    }
}

fn counted(policy: &Option<Policy>, subject: Subject) -> Option<Counted<'_>> {
    let policy = policy.as_ref()?;
    let key = Key::new(policy, subject);
    Some(Counted { policy, key })
}
