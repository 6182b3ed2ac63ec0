//! Failed authentications, counted for each identity and never for an address, behind which a whole site may be. Each
//! makes the answer to the next wrong attempt slower; the right credentials pass at once, so nobody can lock a charge point
//! out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// The first wait; it doubles with each failure.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// So long after the last one failures are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(900);

/// Only charge points that exist are counted; more of them than this at once are not.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<Uuid, Count>>);

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    last: Instant,
}

impl Failures {
    /// Counts one more, and tells how long its answer should take.
    pub fn count(&self, charge_point: Uuid) -> Duration {
        let now = Instant::now();
        let mut counts = self.map();
        if counts.len() >= MOST && !counts.contains_key(&charge_point) {
            counts.retain(|_, count| now - count.last < FORGOTTEN);
            if counts.len() >= MOST {
                return LONGEST_WAIT;
            }
        }
        let count = counts.entry(charge_point).or_insert(Count { failures: 0, last: now });
        if now - count.last >= FORGOTTEN {
            count.failures = 0;
        }
        count.failures = count.failures.saturating_add(1);
        count.last = now;
        let doublings = (count.failures - 1).min(16);
        FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
    }

    /// It has proven who it is.
    pub fn forget(&self, charge_point: Uuid) {
        self.map().remove(&charge_point);
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Uuid, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_failure_makes_the_next_answer_slower_up_to_a_bound_and_only_for_its_charge_point() {
        let failures = Failures::default();
        let (guessed, other) = (Uuid::now_v7(), Uuid::now_v7());
        let waits: Vec<_> = (0..8).map(|_| failures.count(guessed).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(failures.count(other), FIRST_WAIT);
        tokio::time::advance(FORGOTTEN).await;
        assert_eq!(failures.count(guessed), FIRST_WAIT);
        failures.forget(guessed);
        assert_eq!(failures.count(guessed), FIRST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_counts_than_fit() {
        let failures = Failures::default();
        for _ in 0..=MOST {
            failures.count(Uuid::now_v7());
        }
        assert_eq!(failures.map().len(), MOST);
        tokio::time::advance(FORGOTTEN).await;
        assert_eq!(failures.count(Uuid::now_v7()), FIRST_WAIT);
        assert_eq!(failures.map().len(), 1);
    }
}
