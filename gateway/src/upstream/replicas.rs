//! The replicas of one service, and the choice among them.
//!
//! Two are drawn, and the one with less under way is taken: nearly as even as looking at all of them, and without every
//! gateway running to the same one at once.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use rand::seq::IndexedRandom as _;

use super::dial::Destination;
use super::replica::{Purpose, Replica};

/// While fewer than one in so many replicas are left, ejections do not count: the few would drown in the work of all, and
/// when everything fails the fault is more likely on this side.
const PANIC_FLOOR: usize = 4;

/// The replicas known just now.
#[derive(Debug, Default)]
pub struct Replicas(RwLock<Arc<[Arc<Replica>]>>);

impl Replicas {
    pub fn all(&self) -> Arc<[Arc<Replica>]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the replicas that are still there, with what is known of them, and enters new ones. One that is gone is
    /// chosen no more; what is under way there holds it until it ends.
    pub fn set(&self, upstream: &Arc<str>, destinations: impl IntoIterator<Item = Destination>) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashSet::new();
        *current = destinations
            .into_iter()
            .filter(|destination| seen.insert(destination.address))
            .map(|destination| {
                let known = current.iter().find(|replica| *replica.destination() == destination);
                known
                    .cloned()
                    .unwrap_or_else(|| Arc::new(Replica::new(Arc::clone(upstream), destination)))
            })
            .collect();
    }

    /// The replica for the next stream: preferably one that was not tried yet.
    pub fn choose(&self, purpose: Purpose, tried: &[Arc<Replica>]) -> Option<Arc<Replica>> {
        let all = self.all();
        let in_service: Vec<_> = all.iter().filter(|replica| !replica.is_ejected()).collect();
        let in_service = if in_service.len() * PANIC_FLOOR < all.len() {
            all.iter().collect()
        } else {
            in_service
        };
        let untried = |replica: &&Arc<Replica>| !tried.iter().any(|tried| Arc::ptr_eq(tried, replica));
        let best: Vec<_> = in_service
            .iter()
            .copied()
            .filter(|replica| untried(replica) && !replica.others_first())
            .collect();
        let good: Vec<_> = in_service.iter().copied().filter(untried).collect();
        let candidates = [best, good, in_service].into_iter().find(|some| !some.is_empty())?;
        candidates
            .sample(&mut rand::rng(), 2)
            .min_by_key(|replica| replica.load(purpose))
            .map(|replica| Arc::clone(replica))
    }
}
