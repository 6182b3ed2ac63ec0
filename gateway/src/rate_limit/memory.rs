//! Counts in this process. As many keys are remembered as fit; of those that do not, the ones that are used least are forgotten, so
//! that a flood of new addresses costs no memory and does not push out whoever asks all the time.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::answer::{Refusal, Standing};
use super::key::Key;
use super::policy::Policies;
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
    pub fn new(policies: &Policies, clock: C) -> Self {
        let states = States(Arc::new(Cache::new(MOST_KEYS)));
        let limiter = |policy: &super::Policy| {
            // No interval is zero: a quota has at most as many requests as its window has microseconds.
            let quota = Quota::with_period(policy.interval()).unwrap_or(Quota::per_second(policy.quota.requests));
            RateLimiter::new(quota.allow_burst(policy.quota.requests), states.clone(), clock.clone())
        };
        Self {
            limiters: policies.iter().map(limiter).collect(),
            clock,
            states,
        }
    }

    pub fn count<'l>(&self, counts: &Counts<'l>) -> Verdict<'l> {
        let mut standing = Standing::default();
        for Counted { policy, key } in counts.iter().flatten() {
            let Some(limiter) = self.limiters.get(usize::from(key.policy)) else {
                continue;
            };
            match limiter.check_key(key) {
                Ok(state) => standing = standing.or(policy, state.remaining_burst_capacity()),
                Err(not_yet) => {
                    let wait = not_yet.wait_time_from(self.clock.now());
                    return Err(Refusal { policy, wait });
                }
            }
        }
        Ok(standing)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.states.0.len()
    }
}
