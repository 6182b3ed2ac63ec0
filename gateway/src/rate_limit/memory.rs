//! Counts in this process. As many keys are remembered as fit; of those that do not, the ones that are used least are forgotten, so
//! that a flood of new addresses costs no memory and does not push out whoever asks all the time.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use quick_cache::sync::Cache;
use service_kit::start::StartError;
use tokio::time::Instant;

use super::answer::{Refusal, Standing};
use super::key::Key;
use super::policy::{Policies, Policy};
use super::{Counted, Counts, Verdict};

/// Keys that are remembered: some 15 MB at the most.
const MOST_KEYS: usize = 100_000;

/// The time since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Ticking(Instant);

impl Ticking {
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Ticking {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

/// Each key's state, shared by the limiters of all policies, so that there is one bound for all.
#[derive(Clone)]
struct States(Arc<Cache<Key, Arc<InMemoryState>>>);

impl StateStore for States {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let made = || Ok::<_, Infallible>(Arc::default());
        let Ok(state) = self.0.get_or_insert_with(key, made);
        state.measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

/// See the [module](self).
pub struct Memory<C: Clock<Instant = Nanos> + Clone> {
    clock: C,
    /// By the index of their policy.
    limiters: Vec<RateLimiter<Key, States, C, StateInformationMiddleware>>,
    states: States,
}

impl<C: Clock<Instant = Nanos> + Clone> fmt::Debug for Memory<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Memory").field(&self.states.0.len()).finish()
    }
}

impl<C: Clock<Instant = Nanos> + Clone> Memory<C> {
    /// # Errors
    /// A policy has no interval.
    pub fn new(policies: &Policies, clock: C) -> Result<Self, StartError> {
        let states = States(Arc::new(Cache::new(MOST_KEYS)));
        let limiter = |policy: &Policy| {
            let quota = Quota::with_period(policy.interval());
            let quota = quota.ok_or_else(|| StartError::other("a rate limit cannot be kept", policy.name.as_str()))?;
            let quota = quota.allow_burst(policy.quota.requests);
            Ok(RateLimiter::new(quota, states.clone(), clock.clone()))
        };
        Ok(Self {
            limiters: policies.iter().map(limiter).collect::<Result<_, StartError>>()?,
            clock,
            states,
        })
    }

    pub fn count<'l>(&self, counts: &Counts<'l>) -> Verdict<'l> {
        let mut standing = Standing::default();
        for (place, counted) in counts.iter().flatten().enumerate() {
            match self.take(counted) {
                Ok(left) => standing = standing.or(counted.policy, left),
                Err(wait) => {
                    // A request that is refused changes nothing: what it had of narrower limits goes back.
                    counts
                        .iter()
                        .flatten()
                        .take(place)
                        .for_each(|taken| self.give_back(taken));
                    let policy = counted.policy;
                    return Err(Refusal { policy, wait });
                }
            }
        }
        Ok(standing)
    }

    /// What is left, or how long to wait.
    fn take(&self, Counted { policy, key }: &Counted<'_>) -> Result<u32, Duration> {
        // Whoever has a policy has it from the same place as the limiters; nobody gets in uncounted for want of one.
        let limiter = self.limiters.get(usize::from(key.policy)).ok_or(policy.interval())?;
        match limiter.check_key(key) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(not_yet) => Err(not_yet.wait_time_from(self.clock.now())),
        }
    }

    /// Has a key as full as if one request less had been counted. GCRA keeps one time for a key, and each request puts it off by the
    /// same; so it does not matter which others were counted in between.
    fn give_back(&self, Counted { policy, key }: &Counted<'_>) {
        if let Some(state) = self.states.0.get(key) {
            let before = |arrival: Option<Nanos>| {
                let arrival = arrival.unwrap_or(Nanos::new(0));
                Ok::<_, Infallible>(((), arrival.saturating_sub(policy.interval().into())))
            };
            let Ok(()) = state.measure_and_replace(&NotKeyed::NonKey, before);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.states.0.len()
    }
}
