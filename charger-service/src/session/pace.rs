//! How fast a charge point may talk. One that talks faster is not refused: it is read more slowly, down to its socket, and
//! slows nobody down but itself. Frames that are posted come without a socket that could be read more slowly: there whoever
//! talks too fast is told when to go on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use uuid::Uuid;

/// Seconds' worth of messages that a charge point may send at once, such as what it queued while it was offline.
const BURST: u32 = 10;

/// Charge points that are looked through, when another one posts, for those that have been silent long enough to be forgotten.
const MANY: usize = 1000;

/// Frames that one charge point may have posted and not been answered.
const MOST_AT_ONCE: usize = 16;

/// When to come again where there are as many.
const BUSY: Duration = Duration::from_secs(1);

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

/// The charge points that post frames. All that a charge point posts to this process counts together, and is dealt with one
/// after the other, as what comes through a socket is.
#[derive(Debug, Default)]
pub struct Posting(Mutex<HashMap<Uuid, Poster>>);

#[derive(Debug)]
struct Poster {
    pace: Pace,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// Held by a frame that is being dealt with.
#[derive(Debug)]
pub struct Turn {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Posting {
    /// Counts a message, and waits until those before it have been dealt with.
    ///
    /// # Errors
    /// It comes too early, by so much.
    pub async fn turn(&self, charge_point: Uuid, messages_per_second: u32) -> Result<Turn, Duration> {
        let (place, turns) = self.place(charge_point, messages_per_second)?;
        // It is never closed.
        let turn = turns.acquire_owned().await.map_err(|_| BUSY)?;
        Ok(Turn {
            _place: place,
            _turn: turn,
        })
    }

    fn place(
        &self,
        charge_point: Uuid,
        messages_per_second: u32,
    ) -> Result<(OwnedSemaphorePermit, Arc<Semaphore>), Duration> {
        let mut posters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if posters.len() >= MANY && !posters.contains_key(&charge_point) {
            posters.retain(|_, poster| !poster.is_rested());
        }
        let poster = posters
            .entry(charge_point)
            .or_insert_with(|| Poster::new(messages_per_second));
        if let Some(next) = poster.pace.next() {
            return Err(next.duration_since(Instant::now()));
        }
        let place = Arc::clone(&poster.places).try_acquire_owned().map_err(|_| BUSY)?;
        poster.pace.count();
        Ok((place, Arc::clone(&poster.turns)))
    }
}

impl Poster {
    fn new(messages_per_second: u32) -> Self {
        Self {
            pace: Pace::of(messages_per_second),
            places: Arc::new(Semaphore::new(MOST_AT_ONCE)),
            turns: Arc::new(Semaphore::new(1)),
        }
    }

    fn is_rested(&self) -> bool {
        self.pace.is_rested() && self.places.available_permits() == MOST_AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;
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
        let posting = Posting::default();
        let (fast, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..=2 * BURST {
            assert!(posting.turn(fast, 2).await.is_ok());
        }
        assert_eq!(posting.turn(fast, 2).await.err(), Some(Duration::from_millis(500)));
        assert!(posting.turn(other, 2).await.is_ok());
        advance(Duration::from_millis(501)).await;
        assert!(posting.turn(fast, 2).await.is_ok());
    }

    #[tokio::test]
    async fn what_one_charge_point_posts_at_once_is_dealt_with_one_after_the_other_and_only_so_much_of_it() {
        pause();
        let posting = Posting::default();
        let (busy, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let first = posting.turn(busy, 10).await;
        assert!(first.is_ok());
        let mut waiting: JoinSet<_> = (1..MOST_AT_ONCE)
            .map(|_| {
                let (_place, turns) = posting.place(busy, 10).expect("there is a place");
                async move { (_place, turns.acquire_owned().await) }
            })
            .collect();
        assert_eq!(posting.turn(busy, 10).await.err(), Some(BUSY));
        assert!(posting.turn(other, 10).await.is_ok());
        advance(Duration::from_secs(60)).await;
        assert!(
            waiting.try_join_next().is_none(),
            "nobody's turn comes while the first is dealt with"
        );
        drop(first);
        while waiting.join_next().await.is_some() {}
        assert!(posting.turn(busy, 10).await.is_ok());
    }

    #[tokio::test]
    async fn who_has_been_silent_is_forgotten() {
        pause();
        let posting = Posting::default();
        for number in 0..3 * MANY as u128 {
            assert!(posting.turn(Uuid::from_u128(number), 10).await.is_ok());
            advance(Duration::from_millis(1)).await;
        }
        assert!(posting.0.lock().unwrap_or_else(PoisonError::into_inner).len() <= MANY + 1);
    }
}
