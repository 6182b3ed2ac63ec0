//! Failed authentications, counted for each identity and never for an address, behind which a whole site may be. Each
//! makes the answer to the next wrong attempt slower; the right credentials pass at once, so nobody can lock a charge point
//! out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use uuid::Uuid;

/// The first wait; it doubles with each failure.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// So long after the last one failures are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(900);

/// Attempts for one charge point that may be under way between their refusal and their answer.
const MOST_AT_A_TIME: usize = 4;

/// Only charge points that exist are counted; more of them than this at once are not.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<Uuid, Count>>);

#[derive(Debug)]
struct Count {
    failures: u32,
    last: Instant,
    turns: Arc<Semaphore>,
}

/// Held by an attempt that was refused, until it is kept and its answer leaves.
#[derive(Debug)]
pub struct Turn(#[allow(dead_code, reason = "it is held, not used")] OwnedSemaphorePermit);

impl Failures {
    /// Counts one more, and tells how long its answer should take.
    pub fn count(&self, charge_point: Uuid) -> Duration {
        let now = Instant::now();
        let mut counts = self.map();
        let Some(count) = of(&mut counts, charge_point, now) else {
            return LONGEST_WAIT;
        };
        if now - count.last >= FORGOTTEN {
            count.failures = 0;
        }
        count.failures = count.failures.saturating_add(1);
        count.last = now;
        let doublings = (count.failures - 1).min(16);
        FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
    }

    /// A place among the attempts for this charge point that are being refused and are kept. None where all are taken: whoever
    /// tries many at once writes no more than a few.
    pub fn turn(&self, charge_point: Uuid) -> Option<Turn> {
        let mut counts = self.map();
        let count = of(&mut counts, charge_point, Instant::now())?;
        Arc::clone(&count.turns).try_acquire_owned().ok().map(Turn)
    }

    /// It has proven who it is.
    pub fn forget(&self, charge_point: Uuid) {
        self.map().remove(&charge_point);
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Uuid, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// None where there are as many as may be.
fn of(counts: &mut HashMap<Uuid, Count>, charge_point: Uuid, now: Instant) -> Option<&mut Count> {
    if counts.len() >= MOST && !counts.contains_key(&charge_point) {
        counts.retain(|_, count| now - count.last < FORGOTTEN);
        if counts.len() >= MOST {
            return None;
        }
    }
    Some(counts.entry(charge_point).or_insert_with(|| Count {
        failures: 0,
        last: now,
        turns: Arc::new(Semaphore::new(MOST_AT_A_TIME)),
    }))
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
    async fn a_few_attempts_at_a_time_have_a_turn_and_leave_it_to_others_when_they_are_answered() {
        let failures = Failures::default();
        let (guessed, other) = (Uuid::now_v7(), Uuid::now_v7());
        let mut turns: Vec<_> = (0..MOST_AT_A_TIME).map(|_| failures.turn(guessed)).collect();
        assert!(turns.iter().all(Option::is_some));
        assert!(failures.turn(guessed).is_none());
        assert!(failures.turn(other).is_some());
        turns.pop();
        assert!(failures.turn(guessed).is_some());
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
