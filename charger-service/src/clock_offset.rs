//! How far a charge point's clock is ahead of ours, from the times that it tells.
//!
//! A message tells at best what the clock said when it left. One that waited in a queue, or tells of a state entered long
//! ago, makes the clock look slow; a wild value makes it anything. So an offset counts once two messages that came in some
//! time apart agree about it, and among those that do the highest wins, since waiting only ever lowers it. Messages of a
//! queue that is drained come in at once, and do not confirm each other.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

/// As many messages are looked at.
const MOST: usize = 12;

/// Offsets that differ by no more than this agree.
const AGREEMENT: TimeDelta = TimeDelta::seconds(5);

/// Messages that came in at least this far apart can confirm each other.
const APART: TimeDelta = TimeDelta::seconds(10);

/// What a charge point's messages say of its clock.
#[derive(Debug, Default)]
pub struct ClockOffset {
    samples: VecDeque<Sample>,
    /// Nothing was known before this session.
    is_new: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    received_at: DateTime<Utc>,
    offset: TimeDelta,
}

impl ClockOffset {
    /// `known`: an earlier session has found the offset.
    pub fn new(known: bool) -> Self {
        Self {
            samples: VecDeque::new(),
            is_new: !known,
        }
    }

    /// Takes a time that the charge point told for the present one. The offset in seconds, where it can be told: what was
    /// confirmed, or for want of that, where nothing is known yet, what lies in the middle.
    pub fn heard(&mut self, told: DateTime<Utc>, received_at: DateTime<Utc>) -> Option<f64> {
        if self.samples.len() == MOST {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            received_at,
            offset: told - received_at,
        });
        let confirmed = self.confirmed();
        if confirmed.is_some() {
            self.is_new = false;
        }
        confirmed.or_else(|| self.is_new.then(|| self.middle())?).map(seconds)
    }

    fn confirmed(&self) -> Option<TimeDelta> {
        let is_confirmed = |sample: &&Sample| {
            self.samples.iter().any(|other| {
                (other.received_at - sample.received_at).abs() >= APART
                    && (other.offset - sample.offset).abs() <= AGREEMENT
            })
        };
        self.samples
            .iter()
            .filter(is_confirmed)
            .map(|sample| sample.offset)
            .max()
    }

    fn middle(&self) -> Option<TimeDelta> {
        let mut offsets: Vec<_> = self.samples.iter().map(|sample| sample.offset).collect();
        offsets.sort_unstable();
        offsets.get(offsets.len() / 2).copied()
    }
}

fn seconds(offset: TimeDelta) -> f64 {
    offset.num_milliseconds() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known after messages that came in and told a time, in seconds.
    fn after(known: bool, messages: &[(i64, i64)]) -> Option<f64> {
        let at = |second| DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000 + second);
        let mut offset = ClockOffset::new(known);
        let heard = messages
            .iter()
            .map(|&(received, told)| offset.heard(at(told), at(received)));
        heard.last().flatten()
    }

    #[test]
    fn the_first_message_is_believed_where_nothing_else_is_known() {
        assert_eq!(after(false, &[(0, 3600)]), Some(3600.0));
        assert_eq!(after(true, &[(0, 3600)]), None);
    }

    #[test]
    fn messages_that_agree_some_time_apart_confirm_an_offset() {
        assert_eq!(after(true, &[(0, -7200), (60, -7139)]), Some(-7199.0));
    }

    #[test]
    fn one_wild_value_spoils_nothing() {
        let wild = 2_000_000_000;
        assert_eq!(after(true, &[(0, 2), (30, 32), (60, wild), (90, 92)]), Some(2.0));
        assert_eq!(after(false, &[(0, 2), (0, wild), (0, 2)]), Some(2.0));
    }

    #[test]
    fn a_queue_that_is_drained_confirms_nothing() {
        let queue: Vec<_> = (0..10).map(|number| (100, number * 60 - 36_000)).collect();
        assert_eq!(after(true, &queue), None);
        let live: Vec<_> = queue.into_iter().chain([(130, 131), (160, 161)]).collect();
        assert_eq!(after(true, &live), Some(1.0));
    }

    #[test]
    fn a_clock_that_is_set_is_followed() {
        let before: Vec<_> = (0..12).map(|number| (number * 60, number * 60 + 500)).collect();
        let after_that: Vec<_> = (12..25).map(|number| (number * 60, number * 60)).collect();
        assert_eq!(after(true, &[before, after_that].concat()), Some(0.0));
    }
}
