//! How fast a charge point may talk. One that talks faster is not refused: it is read more slowly, down to its socket, and
//! slows nobody down but itself. Frames that are posted come without a socket that could be read more slowly: there whoever
//! talks too fast is told when to go on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// Seconds' worth of messages that a charge point may send at once, such as what it queued while it was offline.
const BURST: u32 = 10;

/// Charge points that are looked through, when another one posts, for those that have been silent long enough to be forgotten.
const MANY: usize = 1000;

/// A bucket of messages that fills steadily.
#[derive(Debug)]
pub struct Pace {
    /// The time that one message costs.
    cost: Duration,
    /// How much time may be saved up.
    savings: Duration,
    /// When the bucket would be full.
    full_at: Instant,
}

impl Pace {
    /// So many messages a second for ever, and some seconds' worth of them at once.
    pub fn of(messages_per_second: u32) -> Self {
        Self::new(messages_per_second, messages_per_second * BURST)
    }

    /// `per_second` for ever, and `burst` at once.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let cost = Duration::from_secs(1) / per_second.max(1);
        Self {
            cost,
            savings: cost * burst.max(1),
            full_at: Instant::now(),
        }
    }

    /// Nothing is left of what was sent.
    fn is_rested(&self) -> bool {
        self.full_at <= Instant::now()
    }

    /// Counts a message.
    pub fn count(&mut self) {
        self.full_at = self.full_at.max(Instant::now()) + self.cost;
    }

    /// When the next message may be read; none where it may be now.
    pub fn next(&self) -> Option<Instant> {
        let next = self.full_at.checked_sub(self.savings)?;
        (next > Instant::now()).then_some(next)
    }
}

/// Of the charge points that post frames. All that a charge point posts to this process counts together.
#[derive(Debug, Default)]
pub struct Paces(Mutex<HashMap<Uuid, Pace>>);

impl Paces {
    /// Counts a message.
    ///
    /// # Errors
    /// It comes too early, by so much.
    pub fn count(&self, charge_point: Uuid, messages_per_second: u32) -> Result<(), Duration> {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paces.len() >= MANY && !paces.contains_key(&charge_point) {
            paces.retain(|_, pace| !pace.is_rested());
        }
        let pace = paces
            .entry(charge_point)
            .or_insert_with(|| Pace::of(messages_per_second));
        match pace.next() {
            Some(next) => Err(next.duration_since(Instant::now())),
            None => {
                pace.count();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, pause};

    use super::*;

    #[tokio::test]
    async fn a_burst_goes_through_and_then_it_is_one_after_the_other() {
        pause();
        let mut pace = Pace::new(10, 5);
        for _ in 0..5 {
            assert_eq!(pace.next(), None);
            pace.count();
        }
        pace.count();
        assert_eq!(pace.next(), Some(Instant::now() + Duration::from_millis(100)));
        advance(Duration::from_millis(101)).await;
        assert_eq!(pace.next(), None);
        advance(Duration::from_secs(60)).await;
        for _ in 0..5 {
            assert_eq!(pace.next(), None);
            pace.count();
        }
    }

    #[tokio::test]
    async fn who_posts_too_fast_is_told_how_long_to_wait_and_slows_nobody_else_down() {
        pause();
        let paces = Paces::default();
        let (fast, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..=2 * BURST {
            assert_eq!(paces.count(fast, 2), Ok(()));
        }
        assert_eq!(paces.count(fast, 2), Err(Duration::from_millis(500)));
        assert_eq!(paces.count(other, 2), Ok(()));
        advance(Duration::from_millis(501)).await;
        assert_eq!(paces.count(fast, 2), Ok(()));
    }

    #[tokio::test]
    async fn who_has_been_silent_is_forgotten() {
        pause();
        let paces = Paces::default();
        for number in 0..3 * MANY as u128 {
            assert_eq!(paces.count(Uuid::from_u128(number), 10), Ok(()));
            advance(Duration::from_millis(1)).await;
        }
        assert!(paces.0.lock().unwrap_or_else(PoisonError::into_inner).len() <= MANY + 1);
    }
}
