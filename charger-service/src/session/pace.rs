//! How fast a charge point may talk. One that talks faster is not refused: it is read more slowly, down to its socket, and
//! slows nobody down but itself.

use std::time::Duration;

use tokio::time::Instant;

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
    /// `per_second` for ever, and `burst` at once.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let cost = Duration::from_secs(1) / per_second.max(1);
        Self {
            cost,
            savings: cost * burst.max(1),
            full_at: Instant::now(),
        }
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
}
