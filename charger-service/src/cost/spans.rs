//! Cuts a charge where its price may change.

use chrono::{DateTime, TimeDelta, Utc};
use jiff::civil;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::{Charge, Energy};
use crate::tariff::terms::{Part, Terms};
use crate::tariff::window;

/// A stretch of a charge within which every price is the same.
#[derive(Debug)]
pub struct Span {
    /// At its beginning.
    pub wall_time: civil::DateTime,
    /// Whether the charge begins with it.
    is_first: bool,
    lasts: TimeDelta,
    state: State,
    /// In mWh.
    energy: i128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Charging,
    Idle,
    /// Idle, within what costs nothing.
    IdleForFree,
}

impl Span {
    /// How much of each part there is in it: Wh, seconds, sessions.
    pub fn measured(&self) -> [(Part, Decimal); 4] {
        let seconds = Decimal::from(self.lasts.num_microseconds().unwrap_or(i64::MAX)) / Decimal::from(1_000_000);
        let in_state = |state| if self.state == state { seconds } else { Decimal::ZERO };
        [
            (Part::Energy, wh(self.energy)),
            (Part::Time, in_state(State::Charging)),
            (Part::Idle, in_state(State::Idle)),
            (Part::Session, Decimal::from(u8::from(self.is_first))),
        ]
    }
}

/// In the order of time. There is always one, even of a charge that took no time.
pub fn spans<'a>(terms: &Terms, charge: &'a Charge, zone: &'a TimeZone) -> impl Iterator<Item = Span> + 'a {
    let idle = Idle::of(charge, terms.idle_free_minutes);
    let windows: Vec<_> = terms
        .elements
        .iter()
        .filter_map(|element| element.window.as_ref())
        .collect();
    let mut cuts = window::turns(&windows, zone, charge.started, charge.ended);
    cuts.extend(idle.cuts().filter(|cut| (charge.started..charge.ended).contains(cut)));
    cuts.push(charge.started);
    cuts.sort_unstable();
    cuts.dedup();
    let mut meter = Meter::of(charge);
    let ends: Vec<_> = cuts.iter().skip(1).copied().chain([charge.ended]).collect();
    cuts.into_iter().zip(ends).map(move |(from, until)| Span {
        wall_time: window::wall_time(from, zone),
        is_first: from == charge.started,
        lasts: until - from,
        state: idle.state(from),
        energy: meter.since_last(until),
    })
}

/// When the vehicle took nothing, and when that began to cost.
struct Idle {
    /// In order.
    free: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    charged: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Idle {
    fn of(charge: &Charge, free_minutes: u32) -> Self {
        let mut left = TimeDelta::minutes(i64::from(free_minutes));
        let (mut free, mut charged) = (Vec::new(), Vec::new());
        for &(from, until) in &charge.idle {
            let (from, until) = (from.max(charge.started), until.min(charge.ended));
            if from >= until {
                continue;
            }
            let turn = from + left.min(until - from);
            left -= turn - from;
            free.push((from, turn));
            charged.push((turn, until));
        }
        Self { free, charged }
    }

    fn cuts(&self) -> impl Iterator<Item = DateTime<Utc>> {
        self.free
            .iter()
            .chain(&self.charged)
            .flat_map(|&(from, until)| [from, until])
    }

    fn state(&self, at: DateTime<Utc>) -> State {
        let holds = |stretches: &[(DateTime<Utc>, DateTime<Utc>)]| {
            // The last that has begun.
            let begun = stretches.partition_point(|&(from, _)| from <= at);
            begun
                .checked_sub(1)
                .and_then(|last| stretches.get(last))
                .is_some_and(|&(_, until)| at < until)
        };
        if holds(&self.charged) {
            State::Idle
        } else if holds(&self.free) {
            State::IdleForFree
        } else {
            State::Charging
        }
    }
}

/// What the meter showed, in mWh since the start.
struct Meter {
    /// From the start, at 0, to the end, at the total; in the order of time and never falling.
    readings: Vec<(DateTime<Utc>, i128)>,
    last: i128,
}

impl Meter {
    fn of(charge: &Charge) -> Self {
        let none = Energy {
            total: Decimal::ZERO,
            readings: Vec::new(),
        };
        let energy = charge.energy.as_ref().unwrap_or(&none);
        let total = mwh(energy.total);
        let mut readings = vec![(charge.started, 0)];
        let mut highest = 0;
        for &(at, wh) in &energy.readings {
            if charge.started < at && at < charge.ended {
                highest = mwh(wh).clamp(highest, total);
                readings.push((at, highest));
            }
        }
        readings.push((charge.ended, total));
        Self { readings, last: 0 }
    }

    /// What was added since it was last asked. Nothing is lost or counted twice: it is the difference of what was counted.
    fn since_last(&mut self, at: DateTime<Utc>) -> i128 {
        let counted = self.counted(at);
        counted - std::mem::replace(&mut self.last, counted)
    }

    fn counted(&self, at: DateTime<Utc>) -> i128 {
        let passed = self.readings.partition_point(|&(read_at, _)| read_at <= at);
        let before = passed.checked_sub(1).and_then(|index| self.readings.get(index));
        match (before, self.readings.get(passed)) {
            (Some(&(from, low)), Some(&(until, high))) => {
                let micros = |duration: TimeDelta| i128::from(duration.num_microseconds().unwrap_or(i64::MAX));
                low + (high - low) * micros(at - from) / micros(until - from).max(1)
            }
            (Some(&(_, all)), None) => all,
            (None, _) => 0,
        }
    }
}

/// Readings may be of any size.
fn mwh(wh: Decimal) -> i128 {
    let mwh = wh.checked_mul(Decimal::ONE_THOUSAND).unwrap_or(wh);
    mwh.trunc().to_i128().unwrap_or_default()
}

fn wh(mwh: i128) -> Decimal {
    Decimal::try_from_i128_with_scale(mwh, 3).unwrap_or_default()
}
