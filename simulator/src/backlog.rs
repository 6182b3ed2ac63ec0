//! What happened while nobody could be told, in its order. A charge point keeps what concerns transactions until it is answered (OCPP
//! 1.6, section 4.3), and knows the number of a transaction that it started alone only then.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Utc};

use crate::saying::{Answer, Saying, StopReason};

/// As much is kept. Beyond it meter values are dropped, starts and stops never.
const MOST: usize = 10_000;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Of which charge, by a number of the charge point's own.
    pub charge: u64,
    pub at: DateTime<Utc>,
    pub happened: Happened,
}

#[derive(Clone, Debug)]
pub enum Happened {
    Started {
        connector: u32,
        id_token: String,
        register: u64,
    },
    Metered {
        connector: u32,
        register: u64,
        power: u32,
    },
    Stopped {
        id_token: String,
        register: u64,
        reason: StopReason,
    },
}

/// All that has not been told, and the numbers of transactions whose start has.
#[derive(Debug, Default)]
pub struct Backlog {
    events: VecDeque<Event>,
    transactions: HashMap<u64, i32>,
}

impl Backlog {
    pub fn push(&mut self, event: Event) {
        if self.events.len() < MOST || !matches!(event.happened, Happened::Metered { .. }) {
            self.events.push_back(event);
        }
    }

    /// What is told next.
    pub fn first(&self) -> Option<Saying<'_>> {
        let event = self.events.front()?;
        // What comes before its start was answered is of a transaction that the central system does not know, either.
        let transaction = self.transactions.get(&event.charge).copied().unwrap_or(-1);
        Some(match &event.happened {
            Happened::Started {
                connector,
                id_token,
                register,
            } => Saying::Start {
                connector: *connector,
                id_token,
                register: *register,
                at: event.at,
            },
            Happened::Metered {
                connector,
                register,
                power,
            } => Saying::Meter {
                connector: *connector,
                transaction,
                register: *register,
                power: *power,
                at: event.at,
            },
            Happened::Stopped {
                id_token,
                register,
                reason,
            } => Saying::Stop {
                transaction,
                id_token,
                register: *register,
                reason: *reason,
                at: event.at,
            },
        })
    }

    /// The first was told, and this is the answer. Returns what it was.
    pub fn told(&mut self, answer: &Answer) -> Option<Event> {
        let event = self.events.pop_front()?;
        match (&event.happened, answer) {
            (Happened::Started { .. }, Answer::Started { transaction, .. }) => {
                self.transactions.insert(event.charge, *transaction);
            }
            (Happened::Stopped { .. }, _) => {
                self.transactions.remove(&event.charge);
            }
            _ => {}
        }
        Some(event)
    }

    /// The first is not told any more, because the central system will have nothing of it.
    pub fn drop_first(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The charge of a transaction that has not ended.
    pub fn charge_of(&self, transaction: i32) -> Option<u64> {
        let mut all = self.transactions.iter();
        all.find(|(_, number)| **number == transaction)
            .map(|(charge, _)| *charge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(charge: u64, happened: Happened) -> Event {
        let at = Utc::now();
        Event { charge, at, happened }
    }

    fn started() -> Happened {
        Happened::Started {
            connector: 1,
            id_token: "CARD1".into(),
            register: 0,
        }
    }

    fn metered() -> Happened {
        Happened::Metered {
            connector: 1,
            register: 10,
            power: 0,
        }
    }

    #[test]
    fn what_follows_a_start_has_the_number_that_the_start_was_answered_with() {
        let mut backlog = Backlog::default();
        let stopped = Happened::Stopped {
            id_token: "CARD1".into(),
            register: 10,
            reason: StopReason::Local,
        };
        for (charge, happened) in [(7, started()), (7, metered()), (7, stopped)] {
            backlog.push(event(charge, happened));
        }
        assert!(matches!(backlog.first(), Some(Saying::Start { .. })));
        backlog.told(&Answer::Started {
            transaction: 41,
            may_charge: true,
        });
        assert_eq!(backlog.charge_of(41), Some(7));
        assert!(matches!(backlog.first(), Some(Saying::Meter { transaction: 41, .. })));
        backlog.told(&Answer::Noted);
        assert!(matches!(backlog.first(), Some(Saying::Stop { transaction: 41, .. })));
        backlog.told(&Answer::Noted);
        assert!(backlog.first().is_none());
        assert_eq!(backlog.charge_of(41), None);
    }

    #[test]
    fn when_it_is_full_meter_values_are_dropped_and_starts_are_not() {
        let mut backlog = Backlog::default();
        for _ in 0..=MOST {
            backlog.push(event(1, metered()));
        }
        assert_eq!(backlog.events.len(), MOST);
        backlog.push(event(2, started()));
        assert_eq!(backlog.events.len(), MOST + 1);
    }
}
