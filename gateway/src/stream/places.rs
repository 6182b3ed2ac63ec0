//! The streams that are open at once: so many in all, and of those so many of one party, that nobody takes the places of all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service_kit::reason::Reason;
use tonic::Status;

use crate::admission::Party;

/// Streams that may be open at once. One that its client does not read holds back its share of the connection to its service,
/// and all of them together must leave room there.
const MOST: usize = 800;

/// Of one account, wherever it is logged in and whichever keys it uses.
const MOST_OF_AN_ACCOUNT: usize = 50;

/// Of all strangers at one address. Charge points fetch and leave their files as strangers, and many share an address.
const MOST_OF_AN_ADDRESS: usize = 100;

/// When somebody may try again who found none.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    /// Of each party that has one.
    of: HashMap<Party, usize>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    party: Party,
}

impl Places {
    /// # Errors
    /// Too many are taken, or too many by this party.
    pub fn take(&self, party: Party) -> Result<Place, Status> {
        let most = match party {
            Party::Account(_) => MOST_OF_AN_ACCOUNT,
            Party::Network(_) => MOST_OF_AN_ADDRESS,
        };
        let mut taken = self.taken();
        if taken.in_all >= MOST {
            return Err(Reason::Overloaded.retry_after(RETRY_AFTER, "Too many streams are open"));
        }
        let own = taken.of.entry(party).or_default();
        if *own >= most {
            return Err(Reason::Overloaded.retry_after(RETRY_AFTER, "You have too many streams open"));
        }
        *own += 1;
        taken.in_all += 1;
        let places = self.clone();
        Ok(Place { places, party })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.in_all -= 1;
        if let Some(own) = taken.of.get_mut(&self.party) {
            *own -= 1;
            if *own == 0 {
                taken.of.remove(&self.party);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use service_kit::network::Network;
    use uuid::Uuid;

    use super::*;

    fn account(number: u128) -> Party {
        Party::Account(Uuid::from_u128(number))
    }

    #[test]
    fn nobody_takes_the_places_of_all_others() {
        let places = Places::default();
        let mut held: Vec<_> = (0..MOST_OF_AN_ACCOUNT)
            .map(|_| places.take(account(1)).unwrap())
            .collect();
        assert_eq!(Reason::of(&places.take(account(1)).unwrap_err()), Reason::Overloaded);
        let network = Network::of("192.0.2.7".parse().unwrap());
        held.extend((0..MOST_OF_AN_ADDRESS).map(|_| places.take(Party::Network(network)).unwrap()));
        assert!(places.take(Party::Network(network)).is_err());
        held.extend((held.len()..MOST).map(|number| places.take(account(number as u128)).unwrap()));
        assert!(places.take(account(0)).is_err(), "all are taken");
        drop(held);
        let taken = places.taken();
        assert_eq!((taken.in_all, taken.of.len()), (0, 0));
    }
}
