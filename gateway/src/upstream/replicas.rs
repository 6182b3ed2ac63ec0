//! The replicas of one service, and the choice among them.
//!
//! Two are drawn, and the one with less under way is taken: nearly as even as looking at all of them, and without every
//! gateway running to the same one at once.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use rand::seq::IndexedRandom as _;

use super::dial::Destination;
use super::replica::{Purpose, Replica};
use super::settings::EjectionRules;

/// The replicas known just now.
#[derive(Debug)]
pub struct Replicas {
    known: RwLock<Arc<[Arc<Replica>]>>,
    rules: EjectionRules,
}

impl Replicas {
    pub fn new(rules: EjectionRules) -> Self {
        Self {
            known: RwLock::default(),
            rules,
        }
    }

    pub fn all(&self) -> Arc<[Arc<Replica>]> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the replicas that are still there, with what is known of them, and enters new ones. One that is gone is
    /// chosen no more; what is under way there holds it until it ends.
    pub fn set(&self, upstream: &Arc<str>, destinations: impl IntoIterator<Item = Destination>) {
        let mut current = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashSet::new();
        *current = destinations
            .into_iter()
            .filter(|destination| seen.insert(destination.address))
            .map(|destination| {
                let known = current.iter().find(|replica| *replica.destination() == destination);
                known
                    .cloned()
                    .unwrap_or_else(|| Arc::new(Replica::new(Arc::clone(upstream), destination, self.rules)))
            })
            .collect();
    }

    /// The replica for the next stream: preferably one that was not tried yet.
    pub fn choose(&self, purpose: Purpose, tried: &[Arc<Replica>]) -> Option<Arc<Replica>> {
        let all = self.all();
        let in_service: Vec<_> = all.iter().filter(|replica| !replica.is_ejected()).collect();
        let in_service = if self.are_too_few(in_service.len(), all.len()) {
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

    /// Whether ejections do not count: the few that are left would drown in the work of all, and when everything fails the
    /// fault is more likely on this side.
    fn are_too_few(&self, left: usize, all: usize) -> bool {
        left * 100 < all * self.rules.panic_percent as usize
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::upstream::ejection::Failure;
    use crate::upstream::settings::Rules;

    fn destination(number: usize) -> Destination {
        Destination {
            origin: Arc::new("http://charger:50052".parse().unwrap()),
            tls: None,
            address: SocketAddr::new([10, 0, 0, 1].into(), 1000 + u16::try_from(number).unwrap()),
        }
    }

    fn replicas(count: usize) -> Replicas {
        let replicas = Replicas::new(Rules::default().ejection);
        replicas.set(&"ocpp".into(), (0..count).map(destination));
        replicas
    }

    fn eject(replica: &Replica) {
        replica.failed(Failure::Unreachable, None);
    }

    fn choose(replicas: &Replicas) -> Arc<Replica> {
        replicas.choose(Purpose::Socket, &[]).unwrap()
    }

    #[test]
    fn of_two_the_one_with_less_under_way_is_taken() {
        let replicas = replicas(2);
        let _call = replicas.all()[1].hold(Purpose::Call);
        let _socket = replicas.all()[0].hold(Purpose::Socket);
        for _ in 0..50 {
            assert!(Arc::ptr_eq(&choose(&replicas), &replicas.all()[1]));
            assert!(Arc::ptr_eq(
                &replicas.choose(Purpose::Call, &[]).unwrap(),
                &replicas.all()[0]
            ));
        }
    }

    #[test]
    fn many_streams_are_spread_evenly() {
        let replicas = replicas(5);
        let held: Vec<_> = (0..1000).map(|_| choose(&replicas).hold(Purpose::Socket)).collect();
        let loads: Vec<_> = replicas
            .all()
            .iter()
            .map(|replica| replica.load(Purpose::Socket))
            .collect();
        assert_eq!(loads.iter().sum::<usize>(), held.len());
        assert!(loads.iter().all(|load| (180..=220).contains(load)), "{loads:?}");
    }

    #[test]
    fn one_that_was_tried_or_leaves_is_taken_only_where_there_is_no_other() {
        let replicas = replicas(2);
        let all = replicas.all();
        all[0].leave();
        for _ in 0..50 {
            assert!(Arc::ptr_eq(&choose(&replicas), &all[1]));
        }
        let again = replicas.choose(Purpose::Call, &[Arc::clone(&all[1])]).unwrap();
        assert!(Arc::ptr_eq(&again, &all[0]));
        assert!(replicas.choose(Purpose::Call, &all).is_some());
    }

    #[test]
    fn a_replica_that_is_gone_is_chosen_no_more_and_one_that_stays_is_the_same() {
        let replicas = replicas(2);
        let before = replicas.all();
        eject(&before[1]);
        replicas.set(&"ocpp".into(), (1..4).map(destination));
        let after = replicas.all();
        assert_eq!(after.len(), 3);
        assert!(Arc::ptr_eq(&before[1], &after[0]) && after[0].is_ejected());
        for _ in 0..50 {
            assert!(!Arc::ptr_eq(&choose(&replicas), &before[0]));
        }
    }

    proptest! {
        #[test]
        fn there_is_always_somebody_to_ask_and_an_ejected_one_only_when_few_are_left(
            ejected in proptest::collection::vec(any::<bool>(), 1..20),
            seed in any::<usize>(),
        ) {
            let replicas = replicas(ejected.len());
            let all = replicas.all();
            for (replica, ejected) in all.iter().zip(&ejected) {
                if *ejected {
                    eject(replica);
                }
            }
            let left = ejected.iter().filter(|ejected| !**ejected).count();
            let tried = Arc::clone(&all[seed % all.len()]);
            for tried in [vec![], vec![tried]] {
                let chosen = replicas.choose(Purpose::Call, &tried).expect("somebody");
                prop_assert!(!chosen.is_ejected() || left * 4 < all.len());
            }
        }
    }
}
