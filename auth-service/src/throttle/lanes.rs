//! How many attempts of one address, or for one account, are under way at once. Those that are free all come at once where
//! somebody wants harm, and would fill the pool of password hashes for everybody else. They wait for each other instead, in
//! memory and in the order in which they came; by the time that it is their turn most of them are refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::key::Key;

/// A lane for each key that is being used. Clones share them.
#[derive(Clone)]
pub struct Lanes {
    width: usize,
    lanes: Arc<Mutex<HashMap<Key, Lane>>>,
}

struct Lane {
    semaphore: Arc<Semaphore>,
    /// Turns that are under way or waited for.
    turns: usize,
}

/// A place in a lane, until it is dropped.
pub struct Turn {
    lanes: Lanes,
    key: Key,
    permit: Option<OwnedSemaphorePermit>,
}

impl Lanes {
    pub fn new(width: usize) -> Self {
        Self {
            width,
            lanes: Arc::default(),
        }
    }

    pub async fn turn(&self, key: Key) -> Turn {
        let (semaphore, mut turn) = self.queue(key);
        // Lanes are never closed.
        turn.permit = semaphore.acquire_owned().await.ok();
        turn
    }

    fn queue(&self, key: Key) -> (Arc<Semaphore>, Turn) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(key).or_insert_with(|| Lane {
            semaphore: Arc::new(Semaphore::new(self.width)),
            turns: 0,
        });
        lane.turns += 1;
        let turn = Turn {
            lanes: self.clone(),
            key,
            permit: None,
        };
        (Arc::clone(&lane.semaphore), turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.permit.take());
        if let Some(lane) = lanes.get_mut(&self.key) {
            lane.turns -= 1;
            if lane.turns == 0 {
                lanes.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    impl Lanes {
        fn in_use(&self) -> usize {
            self.lanes.lock().unwrap_or_else(PoisonError::into_inner).len()
        }
    }

    async fn is_free(lanes: &Lanes, key: u8) -> bool {
        timeout(Duration::ZERO, lanes.turn([key; 32])).await.is_ok()
    }

    #[tokio::test]
    async fn a_lane_is_so_wide_and_does_not_concern_another() {
        let lanes = Lanes::new(2);
        let turns = (lanes.turn([1; 32]).await, lanes.turn([1; 32]).await);
        assert!(!is_free(&lanes, 1).await);
        assert!(is_free(&lanes, 2).await);
        drop(turns.0);
        assert!(is_free(&lanes, 1).await);
    }

    #[tokio::test]
    async fn a_lane_that_nobody_uses_takes_no_memory() {
        let lanes = Lanes::new(1);
        let turn = lanes.turn([1; 32]).await;
        // Those who went away while they waited included.
        assert!(!is_free(&lanes, 1).await);
        assert_eq!(lanes.in_use(), 1);
        drop(turn);
        assert_eq!(lanes.in_use(), 0);
    }
}
