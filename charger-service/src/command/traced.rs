//! For which traces commands were asked for, so that a CALL to a charge point is seen in the trace of the request that caused it.
//!
//! Known at the replica that took the request, and only for traces that are recorded. Where another replica owns the session, the CALL
//! begins a trace of its own there; both name the command.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use service_kit::trace::Place;
use uuid::Uuid;

/// Of commands that were not taken yet. Those of charge points that stay away for long are forgotten first.
const MOST: usize = 1000;

#[derive(Debug, Default)]
pub struct Traced(Mutex<VecDeque<(Uuid, Place)>>);

impl Traced {
    pub fn remember(&self, command: Uuid, place: Option<Place>) {
        let Some(place) = place.filter(Place::is_recorded) else {
            return;
        };
        let mut waiting = self.lock();
        if waiting.len() >= MOST {
            waiting.pop_front();
        }
        waiting.push_back((command, place));
    }

    pub fn take(&self, command: Uuid) -> Option<Place> {
        let mut waiting = self.lock();
        let at = waiting.iter().position(|(waits, _)| *waits == command)?;
        waiting.remove(at).map(|(_, place)| place)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Uuid, Place)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use service_kit::trace::{Parent, Share, SpanKind, Tracer};

    use super::*;

    fn place(tracer: &Tracer) -> Option<Place> {
        let span = tracer.begin(Parent::None, SpanKind::Server, || "test".into());
        span.place().cloned()
    }

    #[test]
    fn a_command_is_found_once_and_the_oldest_is_forgotten_first() {
        let tracer = Tracer::recording(&Default::default(), Share::ALL);
        let traced = Traced::default();
        let commands: Vec<Uuid> = (0..=MOST).map(|_| Uuid::now_v7()).collect();
        for command in &commands {
            traced.remember(*command, place(&tracer));
        }
        assert!(traced.take(commands[0]).is_none());
        assert!(traced.take(commands[MOST]).is_some() && traced.take(commands[MOST]).is_none());
    }

    #[test]
    fn what_is_not_recorded_is_not_remembered() {
        let traced = Traced::default();
        let command = Uuid::now_v7();
        traced.remember(command, place(&Tracer::default()));
        traced.remember(command, None);
        assert!(traced.take(command).is_none());
    }
}
