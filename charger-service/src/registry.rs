//! The sessions that this process owns, and how they are reached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::session::fence::Via;

#[derive(Debug, Default)]
pub struct Registry(Mutex<HashMap<Uuid, Handle>>);

/// What others may do to a session.
#[derive(Debug, Clone)]
pub struct Handle {
    pub via: Via,
    /// Look whether a command waits.
    pub work: Arc<Notify>,
    /// A newer session has taken over.
    pub superseded: CancellationToken,
    /// The session goes on on another stream.
    pub resumed: CancellationToken,
    /// Beside `superseded`: no newer one has, an operator has ended it.
    pub ended: CancellationToken,
}

impl Handle {
    fn of(via: Via) -> Self {
        Self {
            via,
            work: Arc::new(Notify::new()),
            superseded: CancellationToken::new(),
            resumed: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Of a session that another one is newer than.
    pub fn superseded(via: Via) -> Self {
        let handle = Self::of(via);
        handle.superseded.cancel();
        handle
    }

    /// Of a stream that its session has left.
    pub fn resumed(via: Via) -> Self {
        let handle = Self::of(via);
        handle.resumed.cancel();
        handle
    }

    fn give_way_to(&self, newer: Via) {
        if newer.epoch > self.via.epoch {
            self.superseded.cancel();
        } else {
            self.resumed.cancel();
        }
    }
}

impl Registry {
    /// Enters a session. An older one of the same charge point, or an older stream of the same session, is told to give way.
    pub fn enter(&self, via: Via) -> Handle {
        let handle = Handle::of(via);
        let mut sessions = self.map();
        match sessions.get(&via.charge_point) {
            // Two came in at once, and the later one was entered first.
            Some(newer) if via.precedes(newer.via) => handle.give_way_to(newer.via),
            _ => {
                if let Some(older) = sessions.insert(via.charge_point, handle.clone()) {
                    older.give_way_to(via);
                }
            }
        }
        metrics::gauge!("charger_sessions_open").set(sessions.len() as f64);
        handle
    }

    pub fn leave(&self, via: Via) {
        let mut sessions = self.map();
        if sessions
            .get(&via.charge_point)
            .is_some_and(|session| session.via == via)
        {
            sessions.remove(&via.charge_point);
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

    /// Somewhere the charge point has this session.
    pub fn supersede(&self, newer: Via) {
        if let Some(session) = self.map().get(&newer.charge_point)
            && session.via.precedes(newer)
        {
            session.give_way_to(newer);
        }
    }

    /// An operator has ended the sessions of the charge point before this one.
    pub fn end(&self, newer: Via) {
        if let Some(session) = self.map().get(&newer.charge_point)
            && session.via.precedes(newer)
        {
            session.ended.cancel();
            session.give_way_to(newer);
        }
    }

    /// Every session.
    pub fn all(&self) -> Vec<Via> {
        self.map().values().map(|session| session.via).collect()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Uuid, Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(charge_point: Uuid, epoch: i64, stream: i64) -> Via {
        Via {
            charge_point,
            epoch,
            stream,
        }
    }

    #[test]
    fn a_newer_session_supersedes_the_older_one_in_whichever_order_they_come() {
        let charge_point = Uuid::now_v7();
        let registry = Registry::default();
        let first = registry.enter(via(charge_point, 1, 7));
        let second = registry.enter(via(charge_point, 2, 1));
        assert!(first.superseded.is_cancelled() && !first.resumed.is_cancelled());
        assert!(!second.superseded.is_cancelled());
        let late = registry.enter(via(charge_point, 1, 8));
        assert!(late.superseded.is_cancelled());
        assert!(!second.superseded.is_cancelled());
    }

    #[test]
    fn a_session_that_is_resumed_gives_way_to_itself() {
        let charge_point = Uuid::now_v7();
        let registry = Registry::default();
        let before = registry.enter(via(charge_point, 1, 1));
        registry.supersede(via(charge_point, 1, 1));
        assert!(!before.resumed.is_cancelled());
        registry.supersede(via(charge_point, 1, 2));
        assert!(before.resumed.is_cancelled() && !before.superseded.is_cancelled());
    }

    #[test]
    fn a_session_that_an_operator_ends_gives_way_to_nobody_and_one_that_came_later_stays() {
        let charge_point = Uuid::now_v7();
        let registry = Registry::default();
        let before = registry.enter(via(charge_point, 1, 7));
        registry.end(via(charge_point, 2, 1));
        assert!(before.ended.is_cancelled() && before.superseded.is_cancelled());
        let after = registry.enter(via(charge_point, 3, 1));
        registry.end(via(charge_point, 2, 1));
        assert!(!after.ended.is_cancelled() && !after.superseded.is_cancelled());
    }

    #[test]
    fn an_old_session_that_leaves_does_not_take_the_new_one_with_it() {
        let charge_point = Uuid::now_v7();
        let registry = Registry::default();
        registry.enter(via(charge_point, 1, 1));
        registry.enter(via(charge_point, 1, 2));
        registry.leave(via(charge_point, 1, 1));
        assert_eq!(registry.all(), [via(charge_point, 1, 2)]);
    }
}
