//! Files that are on their way through a replica have a place each, and there are not many. A transfer has one, however often its URL is
//! called: a newer attempt takes it over, and the one before it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Files that may be on their way through one replica at once. Each takes a piece or two of memory.
const MOST: usize = 100;

/// Too many files are on their way.
#[derive(Debug, thiserror::Error)]
#[error("too many files are on their way")]
pub struct Busy;

#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    transfers: Arc<Mutex<HashMap<Uuid, Held>>>,
}

/// The latest attempt at a transfer.
#[derive(Debug)]
struct Held {
    permit: OwnedSemaphorePermit,
    superseded: CancellationToken,
}

/// One file's. It is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    superseded: CancellationToken,
    hold: Hold,
}

#[derive(Debug)]
enum Hold {
    /// What an operator sends or fetches.
    Own { _permit: OwnedSemaphorePermit },
    /// The permit is with the transfer, for who comes next.
    OfTransfer(Uuid, Arc<Mutex<HashMap<Uuid, Held>>>),
}

impl Places {
    pub fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(MOST)),
            transfers: Arc::default(),
        }
    }

    /// `transfer`: by whose URL the file comes or goes, where it does.
    ///
    /// # Errors
    /// Too many files are on their way.
    pub fn enter(&self, transfer: Option<Uuid>) -> Result<Place, Busy> {
        let free = || Arc::clone(&self.free).try_acquire_owned().map_err(|_| Busy);
        let superseded = CancellationToken::new();
        let Some(transfer) = transfer else {
            return Ok(Place {
                superseded,
                hold: Hold::Own { _permit: free()? },
            });
        };
        let mut transfers = locked(&self.transfers);
        let permit = match transfers.remove(&transfer) {
            Some(earlier) => {
                earlier.superseded.cancel();
                earlier.permit
            }
            None => free()?,
        };
        let held = Held {
            permit,
            superseded: superseded.clone(),
        };
        transfers.insert(transfer, held);
        Ok(Place {
            superseded,
            hold: Hold::OfTransfer(transfer, Arc::clone(&self.transfers)),
        })
    }
}

impl Place {
    /// A newer attempt at the same transfer has it now.
    pub fn is_lost(&self) -> bool {
        self.superseded.is_cancelled()
    }

    /// Waits until it is lost.
    pub async fn lost(&self) {
        self.superseded.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Hold::OfTransfer(transfer, transfers) = &self.hold {
            let mut transfers = locked(transfers);
            // Under the lock, so that nobody takes it over between the look and the deed.
            if !self.superseded.is_cancelled() {
                transfers.remove(transfer);
            }
        }
    }
}

/// A panic elsewhere leaves nothing half done here.
fn locked(transfers: &Mutex<HashMap<Uuid, Held>>) -> MutexGuard<'_, HashMap<Uuid, Held>> {
    transfers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_has_one_place_which_its_newest_attempt_takes_over() {
        let places = Places::new();
        let transfer = Some(Uuid::now_v7());
        let attempts: Vec<_> = (0..MOST * 2).map(|_| places.enter(transfer).unwrap()).collect();
        let lost = attempts.iter().filter(|place| place.is_lost()).count();
        assert_eq!((lost, places.free.available_permits()), (MOST * 2 - 1, MOST - 1));
        let mut attempts = attempts.into_iter();
        let newest = attempts.next_back().unwrap();
        drop(attempts);
        assert!(!newest.is_lost());
        assert_eq!(places.free.available_permits(), MOST - 1);
        drop(newest);
        assert_eq!(places.free.available_permits(), MOST);
        assert!(places.transfers.lock().unwrap().is_empty());
    }

    #[test]
    fn there_are_as_many_places_as_there_are() {
        let places = Places::new();
        let mut taken: Vec<_> = (0..MOST - 1).map(|_| places.enter(None).unwrap()).collect();
        let transfer = Some(Uuid::now_v7());
        let first = places.enter(transfer).unwrap();
        assert!(places.enter(None).is_err() && places.enter(Some(Uuid::now_v7())).is_err());
        let second = places.enter(transfer).unwrap();
        assert!(first.is_lost() && !second.is_lost());
        taken.pop();
        assert!(places.enter(None).is_ok());
    }
}
