//! Requests that wait for the outcome of a command. They are woken by the notice of it, wherever the command was answered,
//! and then look at the ledger; nothing here polls.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

#[derive(Debug, Default)]
pub struct Waiters(Mutex<HashMap<Uuid, watch::Sender<()>>>);

/// One request's wait. It ends when it is dropped.
#[derive(Debug)]
pub struct Waiting<'a> {
    waiters: &'a Waiters,
    command: Uuid,
    woken: watch::Receiver<()>,
}

impl Waiters {
    /// Begins before the ledger is looked at, so that no outcome falls between the two.
    pub fn wait_for(&self, command: Uuid) -> Waiting<'_> {
        let woken = self
            .map()
            .entry(command)
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe();
        Waiting {
            waiters: self,
            command,
            woken,
        }
    }

    pub fn wake(&self, command: Uuid) {
        if let Some(waiting) = self.map().get(&command) {
            waiting.send_replace(());
        }
    }

    pub fn wake_all(&self) {
        self.map().values().for_each(|waiting| {
            waiting.send_replace(());
        });
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting<'_> {
    /// Returns at the next wake since the last return.
    pub async fn woken(&mut self) {
        // The sender lives in the map as long as somebody waits.
        if self.woken.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut map = self.waiters.map();
        // This one still counts.
        if map
            .get(&self.command)
            .is_some_and(|waiting| waiting.receiver_count() <= 1)
        {
            map.remove(&self.command);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wake_between_two_looks_is_not_lost() {
        let waiters = Waiters::default();
        let command = Uuid::now_v7();
        let mut waiting = waiters.wait_for(command);
        waiters.wake(command);
        waiting.woken().await;
    }

    #[test]
    fn nothing_is_left_of_a_request_that_hung_up() {
        let waiters = Waiters::default();
        let command = Uuid::now_v7();
        let (first, second) = (waiters.wait_for(command), waiters.wait_for(command));
        drop(first);
        assert_eq!(waiters.map().len(), 1);
        drop(second);
        assert_eq!(waiters.map().len(), 0);
    }
}
