//! What a run has seen so far.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::saying::Kind;

/// The longest time that is told apart, in microseconds, and to how many digits.
const LONGEST: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// Kinds of errors that are told apart.
const MOST_KINDS: usize = 30;

/// Shared by all charge points of a fleet.
#[derive(Debug)]
pub struct Statistics(Mutex<Seen>);

#[derive(Clone, Debug)]
pub struct Seen {
    /// From when a CALL was due to its answer, in microseconds, by kind; of those that count.
    pub latencies: Vec<(Kind, Histogram<u64>)>,
    /// All CALLs that were answered, before and after what counts, too.
    pub answered: BTreeMap<Kind, u64>,
    pub errors: BTreeMap<String, u64>,
    /// Charge points that are connected and accepted.
    pub online: usize,
    /// Charge points that will not be.
    pub given_up: usize,
}

impl Statistics {
    /// # Errors
    /// Never: the bounds are good.
    pub fn new() -> Result<Self> {
        let mut latencies = Vec::new();
        for kind in Kind::ALL {
            latencies.push((kind, Histogram::new_with_bounds(1, LONGEST, DIGITS)?));
        }
        Ok(Self(Mutex::new(Seen {
            latencies,
            answered: BTreeMap::new(),
            errors: BTreeMap::new(),
            online: 0,
            given_up: 0,
        })))
    }

    /// A CALL was answered.
    pub fn answered(&self, kind: Kind, latency: Option<Duration>) {
        let mut seen = self.lock();
        *seen.answered.entry(kind).or_default() += 1;
        if let Some(latency) = latency
            && let Some((_, latencies)) = seen.latencies.iter_mut().find(|(of, _)| *of == kind)
        {
            latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST));
        }
    }

    pub fn failed(&self, label: String) {
        let mut seen = self.lock();
        let known = seen.errors.len() < MOST_KINDS || seen.errors.contains_key(&label);
        let label = if known { label } else { "others".to_owned() };
        *seen.errors.entry(label).or_default() += 1;
    }

    pub fn is_online(&self) {
        self.lock().online += 1;
    }

    pub fn is_offline(&self) {
        self.lock().online -= 1;
    }

    pub fn gives_up(&self) {
        self.lock().given_up += 1;
    }

    /// How many answers count, so far.
    pub fn counted(&self) -> u64 {
        let seen = self.lock();
        seen.latencies.iter().map(|(_, latencies)| latencies.len()).sum()
    }

    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Charge points that are online, and those that never will be.
    pub fn arrived(&self) -> (usize, usize) {
        let seen = self.lock();
        (seen.online, seen.given_up)
    }

    /// What one line can tell.
    pub fn glance(&self) -> Glance {
        let seen = self.lock();
        Glance {
            answered: seen.answered.values().sum(),
            errors: seen.errors.values().sum(),
            online: seen.online,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Statistics::glance`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Glance {
    pub answered: u64,
    pub errors: u64,
    pub online: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_up_to_a_bound() {
        let statistics = Statistics::new().expect("bounds are good");
        for number in 0..100 {
            statistics.failed(format!("error {number}"));
            statistics.failed("error 0".to_owned());
        }
        let errors = statistics.seen().errors;
        assert_eq!(errors.len(), MOST_KINDS + 1);
        assert_eq!(errors["error 0"], 101);
        assert_eq!(errors.values().sum::<u64>(), 200);
    }

    #[test]
    fn what_does_not_count_is_answered_all_the_same() {
        let statistics = Statistics::new().expect("bounds are good");
        statistics.answered(Kind::Boot, None);
        statistics.answered(Kind::Boot, Some(Duration::from_millis(2)));
        assert_eq!(statistics.counted(), 1);
        let seen = statistics.seen();
        assert_eq!(seen.answered[&Kind::Boot], 2);
        assert_eq!(seen.latencies[0].1.len(), 1);
    }
}
