//! When a replica is left alone because calls do not reach it, and for how long.
//!
//! Only what happens between here and there counts. Whatever status a service answers with, it has answered.

use tokio::time::Instant;

use super::settings::EjectionRules;

/// What went wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// There is no connection to it.
    Unreachable,
    /// A connection or a stream was lost.
    Broken,
}

/// How a replica has behaved.
#[derive(Debug)]
pub struct Record {
    rules: EjectionRules,
    breaks: u32,
    ejections: u32,
    ejected_until: Option<Instant>,
    back_since: Option<Instant>,
}

impl Record {
    pub fn new(rules: EjectionRules) -> Self {
        Self {
            rules,
            breaks: 0,
            ejections: 0,
            ejected_until: None,
            back_since: None,
        }
    }

    pub fn is_ejected(&self) -> bool {
        self.ejected_until.is_some()
    }

    /// Whether the ejection is over but for a probe.
    pub fn wants_probe(&self, now: Instant) -> bool {
        self.ejected_until.is_some_and(|until| until <= now)
    }

    /// Notes a failure; true where it ejects the replica.
    pub fn failed(&mut self, failure: Failure, now: Instant) -> bool {
        // Calls that were under way may fail as well. They say nothing new.
        if self.is_ejected() {
            return false;
        }
        self.breaks += 1;
        let ejects = failure == Failure::Unreachable || self.breaks >= self.rules.breaks;
        if ejects {
            // It stayed in service for so long that it begins anew.
            let forgotten_after = self.rules.time.longest;
            if self.back_since.is_some_and(|since| now - since >= forgotten_after) {
                self.ejections = 0;
            }
            self.eject(now);
        }
        ejects
    }

    /// The probe failed too.
    pub fn probe_failed(&mut self, now: Instant) {
        self.eject(now);
    }

    /// It answered; true where that brings it back.
    pub fn answered(&mut self, now: Instant) -> bool {
        self.breaks = 0;
        let back = self.ejected_until.take().is_some();
        if back {
            self.back_since = Some(now);
        }
        back
    }

    fn eject(&mut self, now: Instant) {
        self.ejections = self.ejections.saturating_add(1);
        self.ejected_until = Some(now + self.rules.time.after(self.ejections));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::settings::Rules;

    fn record() -> Record {
        Record::new(Rules::default().ejection)
    }

    #[test]
    fn a_replica_that_cannot_be_connected_to_is_ejected_at_once() {
        assert!(record().failed(Failure::Unreachable, Instant::now()));
    }

    #[test]
    fn a_lost_stream_is_forgiven_but_the_third_in_a_row_is_not() {
        let now = Instant::now();
        let mut record = record();
        assert!(!record.failed(Failure::Broken, now) && !record.failed(Failure::Broken, now));
        record.answered(now);
        assert!(!record.failed(Failure::Broken, now) && !record.failed(Failure::Broken, now));
        assert!(record.failed(Failure::Broken, now));
    }

    #[test]
    fn each_ejection_is_longer_until_it_behaves_for_a_while() {
        let mut now = Instant::now();
        let mut record = record();
        let mut lengths = Vec::new();
        let mut eject = |record: &mut Record, now: &mut Instant| {
            record.failed(Failure::Unreachable, *now);
            let until = record.ejected_until.expect("an end");
            lengths.push((until - *now).as_secs_f64());
            *now = until;
            record.answered(*now);
        };
        for _ in 0..8 {
            eject(&mut record, &mut now);
        }
        now += Rules::default().ejection.time.longest;
        eject(&mut record, &mut now);
        assert!(lengths[0] <= 2.0 && lengths[8] <= 2.0, "{lengths:?}");
        assert!((30.0..=60.0).contains(&lengths[7]), "{lengths:?}");
    }

    #[test]
    fn nothing_but_a_probe_or_an_answer_brings_it_back() {
        let now = Instant::now();
        let mut record = record();
        record.failed(Failure::Unreachable, now);
        let later = now + Rules::default().ejection.time.longest;
        assert!(record.is_ejected() && !record.wants_probe(now) && record.wants_probe(later));
        record.probe_failed(later);
        assert!(record.is_ejected() && !record.wants_probe(later));
        assert!(record.answered(later) && !record.is_ejected());
    }
}
