//! The sessions that this process owns, and how they are reached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[derive(Debug, Default)]
pub struct Registry(Mutex<HashMap<Uuid, Handle>>);

/// What others may do to a session.
#[derive(Debug, Clone)]
pub struct Handle {
    pub epoch: i64,
    /// Look whether a command waits.
    pub work: Arc<Notify>,
    /// A newer session has taken over.
    pub superseded: CancellationToken,
}

impl Registry {
    /// Enters a session. An older one of the same charge point is told that it is superseded.
    pub fn enter(&self, charge_point: Uuid, epoch: i64) -> Handle {
        let handle = Handle {
            epoch,
            work: Arc::new(Notify::new()),
            superseded: CancellationToken::new(),
        };
        let mut sessions = self.map();
        match sessions.get(&charge_point) {
            // Two connections came in at once, and the later epoch was entered first.
            Some(newer) if newer.epoch > epoch => handle.superseded.cancel(),
            _ => {
                if let Some(older) = sessions.insert(charge_point, handle.clone()) {
                    older.superseded.cancel();
                }
            }
        }
        metrics::gauge!("charger_sessions_open").set(sessions.len() as f64);
        handle
    }

    pub fn leave(&self, charge_point: Uuid, epoch: i64) {
        let mut sessions = self.map();
        if sessions
            .get(&charge_point)
            .is_some_and(|session| session.epoch == epoch)
        {
            sessions.remove(&charge_point);
        }
        metrics::gauge!("charger_sessions_open").set(sessions.len() as f64);
    }

    /// A command waits for this charge point.
    pub fn wake(&self, charge_point: Uuid) {
        if let Some(session) = self.map().get(&charge_point) {
            session.work.notify_one();
        }
    }

    pub fn wake_all(&self) {
        self.map().values().for_each(|session| session.work.notify_one());
    }

    /// Somewhere the charge point has a session of this epoch.
    pub fn supersede(&self, charge_point: Uuid, epoch: i64) {
        if let Some(session) = self.map().get(&charge_point)
            && session.epoch < epoch
        {
            session.superseded.cancel();
        }
    }

    /// Charge points and epochs of all sessions.
    pub fn all(&self) -> Vec<(Uuid, i64)> {
        self.map()
            .iter()
            .map(|(charge_point, session)| (*charge_point, session.epoch))
            .collect()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Uuid, Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_session_supersedes_the_older_one_in_whichever_order_they_come() {
        let charge_point = Uuid::now_v7();
        let registry = Registry::default();
        let (first, second) = (registry.enter(charge_point, 1), registry.enter(charge_point, 2));
        assert!(first.superseded.is_cancelled());
        assert!(!second.superseded.is_cancelled());
        let late = registry.enter(charge_point, 1);
        assert!(late.superseded.is_cancelled());
        assert!(!second.superseded.is_cancelled());
    }

    #[test]
    fn an_old_session_that_leaves_does_not_take_the_new_one_with_it() {
        let charge_point = Uuid::now_v7();
        let registry = Registry::default();
        registry.enter(charge_point, 1);
        registry.enter(charge_point, 2);
        registry.leave(charge_point, 1);
        assert_eq!(registry.all(), [(charge_point, 2)]);
    }
}
