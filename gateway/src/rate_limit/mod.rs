//! How often somebody may ask.
//!
//! Each request is counted by its head alone, under a few keys at once: for who it comes from, as far as they have proven it, for those
//! whom they belong to, and for the address that it comes from. What is counted together is the class of its RPC (`class`), how much
//! there is for whom is a setting (`policy`). Whoever asks too often hears how long to wait (`answer`).
//!
//! Counting is GCRA, here (`memory`) or at a Redis that all gateways share (`shared`), with the same outcome. A request that is refused
//! for one key changes nothing of any, so that asking on does not make the wait longer.

mod answer;
mod class;
mod connection;
mod key;
mod memory;
mod policy;
mod proven;
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
use proven::Proven;
use shared::Shared;

/// From whom a request comes.
#[derive(Clone, Copy, Debug)]
pub enum Who<'r> {
    /// Has not proven who they are.
    Stranger,
    Account(Uuid),
    ApiKey {
        key: Uuid,
        account: Uuid,
    },
    /// Says that it is the charge point of this identity; whether it is, only its service can tell.
    Station(&'r str),
}

impl Who<'_> {
    pub fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Account {
                id,
                session,
                scopes: Some(_),
                ..
            } => Self::ApiKey {
                key: *session,
                account: *id,
            },
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

/// Those of a request, the narrowest first. Where one is full, none is counted under.
type Counts<'l> = [Option<Counted<'l>>; 4];

/// What counting came to: a refusal where one of the keys is full.
type Verdict<'l> = Result<Standing<'l>, Refusal<'l>>;

/// The limits of a gateway.
#[derive(Debug)]
pub struct Limits {
    policies: Policies,
    proven: Proven,
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
        let policies = settings.policies()?;
        let memory = Memory::new(&policies, Ticking::new())?;
        let counter = match settings.redis()? {
            Some(redis) if !policies.is_empty() => {
                Counter::Shared(Box::new(Shared::new(redis, memory, settings.gateway_rate_limit_outage)))
            }
            Some(_) | None => Counter::Memory(memory),
        };
        Ok(Self {
            policies,
            proven: Proven::default(),
            counter,
        })
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
            refusal.policy.refused.increment(1);
            refusal.into()
        })
    }

    /// A charge point was let in from this address, by its service.
    pub fn prove(&self, identity: &str, address: IpAddr) {
        self.proven.remember(Subject::station(identity, Network::of(address)));
    }

    fn counts(&self, class: Class, who: Who<'_>, address: IpAddr) -> Counts<'_> {
        let limits = self.policies.of(class);
        let network = Network::of(address);
        let (at, site) = (Subject::network(network), Subject::site(network));
        let of_site = |policy| site.and_then(|site| counted(policy, site));
        let (one, beside) = match who {
            Who::Stranger => (counted(&limits.stranger, at), of_site(&limits.stranger_site)),
            Who::Account(id) => (counted(&limits.account, Subject::id(id)), None),
            Who::ApiKey { key, account } => (
                counted(&limits.key, Subject::id(key)),
                counted(&limits.account_keys, Subject::id(account)),
            ),
            Who::Station(identity) => {
                // A stranger who says somebody's identity elsewhere takes nothing away from the charge point.
                let station = Subject::station(identity, network);
                let one = counted(&limits.station, station);
                if !self.proven.contains(&station) {
                    // Nor does one at its address, with as many identities as they can think of.
                    let strangers = counted(&limits.stranger, at);
                    return [one, strangers, of_site(&limits.stranger_site), None];
                }
                (one, None)
            }
        };
        [one, beside, counted(&limits.address, at), of_site(&limits.site)]
    }
}

fn counted(policy: &Option<Policy>, subject: Subject) -> Option<Counted<'_>> {
    let policy = policy.as_ref()?;
    let key = Key::new(policy, subject);
    Some(Counted { policy, key })
}
