//! How much of this process may be taken up at a time by what goes on for long, and how much of it by one account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use service_kit::reason::Reason;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Who has places, and how many.
#[derive(Debug, Clone)]
pub struct Places {
    taken: Arc<Mutex<HashMap<Uuid, usize>>>,
    most: usize,
    most_of_one: usize,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    account: Uuid,
}

#[derive(Debug, Error)]
pub enum NoPlace {
    #[error("all places are taken")]
    Full,
    #[error("the account has as many places as it may")]
    TooMany,
}

impl From<NoPlace> for Status {
    fn from(error: NoPlace) -> Self {
        match error {
            NoPlace::Full => Reason::Overloaded.retry_after(AGAIN_AFTER, "Too much goes on here just now"),
            NoPlace::TooMany => {
                Reason::TooManyRequests.retry_after(AGAIN_AFTER, "Too much of what you asked for goes on")
            }
        }
    }
}

impl Places {
    /// So many for all together, and for one account.
    pub fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            taken: Arc::default(),
            most,
            most_of_one,
        }
    }

    /// # Errors
    /// There is no place.
    pub fn enter(&self, account: Uuid) -> Result<Place, NoPlace> {
        // What is counted stays right whoever panics.
        let mut places = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = places.values().sum();
        if all >= self.most {
            return Err(NoPlace::Full);
        }
        let own = places.entry(account).or_default();
        if *own >= self.most_of_one {
            return Err(NoPlace::TooMany);
        }
        *own += 1;
        Ok(Place {
            places: self.clone(),
            account,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = places.get_mut(&self.account) {
            *own -= 1;
            if *own == 0 {
                places.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_places_than_they_may_and_one_that_is_left_is_free() {
        let places = Places::new(10, 2);
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut own: Vec<_> = (0..2).map(|_| places.enter(ada).unwrap()).collect();
        assert!(matches!(places.enter(ada), Err(NoPlace::TooMany)));
        let other = places.enter(bob).unwrap();
        own.pop();
        own.push(places.enter(ada).unwrap());
        drop((own, other));
        assert!(places.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn a_process_has_so_many_places_and_no_more() {
        let places = Places::new(3, 2);
        let enter = |account| places.enter(Uuid::from_u128(account));
        let taken: Vec<_> = (0..3).map(|account| enter(account).unwrap()).collect();
        assert!(matches!(enter(3), Err(NoPlace::Full)));
        drop(taken);
        assert!(enter(3).is_ok());
    }
}
