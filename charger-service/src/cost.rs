//! What a charge costs: a function of the tariff's terms and of what was charged, and of nothing else, so that the cost while it
//! runs and the cost in the end are one computation, and a bill can be computed again.
//!
//! Every line is exact up to the sixth digit after the point, and the whole is rounded once, half up, to what can be paid; the
//! difference is a line of its own, so that the lines add up to the total to the last digit. Energy is told apart by readings of
//! the meter, and between two of them by time: where the parts of it are cut changes what each costs, never how much it is.

mod spans;

use chrono::{DateTime, Utc};
use jiff::tz::TimeZone;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use self::spans::Span;
use crate::tariff::terms::{Part, Terms};

/// Digits after the point of a line's amount and quantity.
const LINE_DIGITS: u32 = 6;

/// More than that in one charge is a register that cannot be right, in Wh.
const MOST_ENERGY_WH: i64 = 1_000_000_000;

/// Longer than that is a clock that cannot be right.
const LONGEST: chrono::TimeDelta = chrono::TimeDelta::days(366);

/// What happened.
#[derive(Debug, Clone)]
pub struct Charge {
    pub started: DateTime<Utc>,
    /// Or how far it is to be reckoned, while it runs.
    pub ended: DateTime<Utc>,
    /// None where the station's readings do not tell.
    pub energy: Option<Energy>,
    /// From and until when the vehicle took nothing, in order, none overlapping another.
    pub idle: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

/// In Wh since the start.
#[derive(Debug, Clone)]
pub struct Energy {
    pub total: Decimal,
    /// In the order of time. What contradicts the total or an earlier one gives way.
    pub readings: Vec<(DateTime<Utc>, Decimal)>,
}

/// Its amounts are in the terms' currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    pub lines: Vec<Line>,
    /// Taxes included, as it can be paid.
    pub total: Decimal,
    pub remarks: Vec<Remark>,
}

// Not tagged inside: where serde_json keeps numbers to the letter, as it does with rust-ocpp, it cannot read them from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// A part of the charge, by one element of the tariff.
    Part {
        part: Part,
        /// Which element, from 0.
        element: usize,
        /// In units of the part.
        quantity: Decimal,
        /// For one unit.
        price: Decimal,
        amount: Decimal,
    },
    Tax {
        name: String,
        percent: Decimal,
        amount: Decimal,
    },
    /// What makes the other lines the total.
    Rounding { amount: Decimal },
}

impl Line {
    pub fn amount(&self) -> Decimal {
        match self {
            Self::Part { amount, .. } | Self::Tax { amount, .. } | Self::Rounding { amount } => *amount,
        }
    }
}

/// Why something that has a price is not in the cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remark {
    EnergyUnknown,
    EnergyImplausible,
    EndsBeforeItStarts,
    DurationImplausible,
}

impl Remark {
    /// As it is stored and told to other services. Never changed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EnergyUnknown => "energy_unknown",
            Self::EnergyImplausible => "energy_implausible",
            Self::EndsBeforeItStarts => "ends_before_it_starts",
            Self::DurationImplausible => "duration_implausible",
        }
    }

    pub fn sentence(self) -> &'static str {
        match self {
            Self::EnergyUnknown => "The charge point's readings do not tell the energy; it is not in the cost",
            Self::EnergyImplausible => "The registers tell more than 1 GWh, which cannot be; energy is not in the cost",
            Self::EndsBeforeItStarts => "By the charge point's clock it ends before it starts; time is not in the cost",
            Self::DurationImplausible => "It took more than 366 days, which cannot be; time is not in the cost",
        }
    }
}

/// By the clock of the site's time zone.
pub fn cost(terms: &Terms, charge: &Charge, zone: &TimeZone) -> Cost {
    let mut remarks = Vec::new();
    let charge = plausible(terms, charge, &mut remarks);
    let mut quantities = Quantities::new(terms);
    for span in spans::spans(terms, &charge, zone) {
        quantities.add(&span);
    }
    let mut lines = quantities.lines();
    // Of exact amounts: those of the lines are rounded.
    let net: Hourly = quantities.exact().map(|(_, amount)| amount).sum();
    let mut gross = net;
    for tax in &terms.taxes {
        let amount = net.percent(tax.percent);
        gross = gross + amount;
        lines.push(Line::Tax {
            name: tax.name.clone(),
            percent: tax.percent,
            amount: amount.rounded(LINE_DIGITS),
        });
    }
    let mut total = gross.rounded(terms.minor_digits());
    // As it is paid: with its cents, also where there are none.
    total.rescale(terms.minor_digits());
    let rounding = total - lines.iter().map(Line::amount).sum::<Decimal>();
    if !rounding.is_zero() {
        lines.push(Line::Rounding {
            amount: rounding.normalize(),
        });
    }
    Cost { lines, total, remarks }
}

/// Without what cannot be true.
fn plausible(terms: &Terms, charge: &Charge, remarks: &mut Vec<Remark>) -> Charge {
    let mut charge = charge.clone();
    let is_timed = terms.has_price(Part::Time) || terms.has_price(Part::Idle);
    let mut note = |is_priced: bool, remark| {
        if is_priced {
            remarks.push(remark);
        }
    };
    match &charge.energy {
        Some(energy) if energy.total > Decimal::from(MOST_ENERGY_WH) => {
            note(terms.has_price(Part::Energy), Remark::EnergyImplausible);
            charge.energy = None;
        }
        Some(energy) if energy.total.is_sign_negative() => {
            note(terms.has_price(Part::Energy), Remark::EnergyUnknown);
            charge.energy = None;
        }
        Some(_) => {}
        None => note(terms.has_price(Part::Energy), Remark::EnergyUnknown),
    }
    if charge.ended < charge.started {
        note(is_timed, Remark::EndsBeforeItStarts);
        charge.ended = charge.started;
    } else if charge.ended - charge.started > LONGEST {
        note(is_timed, Remark::DurationImplausible);
        charge.ended = charge.started;
    }
    charge
}

/// How much of each part each element has a price for, in the order of the tariff.
struct Quantities<'a> {
    terms: &'a Terms,
    /// By element and part: Wh, seconds, or sessions.
    measured: Vec<(usize, Part, Decimal)>,
}

impl<'a> Quantities<'a> {
    fn new(terms: &'a Terms) -> Self {
        Self {
            terms,
            measured: Vec::new(),
        }
    }

    fn add(&mut self, span: &Span) {
        for (part, measured) in span.measured() {
            if measured.is_zero() {
                continue;
            }
            let holds = |element: &&crate::tariff::terms::Element| {
                let in_window = element
                    .window
                    .as_ref()
                    .is_none_or(|window| window.holds(span.wall_time));
                element.price(part).is_some() && in_window
            };
            let Some(element) = self.terms.elements.iter().position(|element| holds(&element)) else {
                continue;
            };
            match self
                .measured
                .iter_mut()
                .find(|known| (known.0, known.1) == (element, part))
            {
                Some(known) => known.2 += measured,
                None => self.measured.push((element, part, measured)),
            }
        }
    }

    /// With what each comes to.
    fn exact(&self) -> impl Iterator<Item = (&(usize, Part, Decimal), Hourly)> {
        self.measured.iter().filter_map(|measured| {
            let (element, part, quantity) = *measured;
            let price = self.terms.elements.get(element)?.price(part)?;
            Some((measured, Hourly::of(part, quantity, price)))
        })
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<_> = self
            .exact()
            .filter_map(|(&(element, part, measured), amount)| {
                Some(Line::Part {
                    part,
                    element,
                    quantity: in_units(part, measured),
                    price: self.terms.elements.get(element)?.price(part)?,
                    amount: amount.rounded(LINE_DIGITS),
                })
            })
            .collect();
        lines.sort_by_key(|line| match line {
            Line::Part { part, element, .. } => Some((*part, *element)),
            Line::Tax { .. } | Line::Rounding { .. } => None,
        });
        lines
    }
}

/// kWh, hours, sessions.
fn in_units(part: Part, measured: Decimal) -> Decimal {
    let units = match part {
        Part::Energy => measured / Decimal::ONE_THOUSAND,
        Part::Time | Part::Idle => measured / Hourly::SECONDS,
        Part::Session => measured,
    };
    units
        .round_dp_with_strategy(LINE_DIGITS, RoundingStrategy::MidpointAwayFromZero)
        .normalize()
}

/// An amount of money in 1/3600 of the currency's unit, in which so many seconds at a price for the hour are a decimal number.
#[derive(Debug, Clone, Copy)]
struct Hourly(Decimal);

impl Hourly {
    const SECONDS: Decimal = Decimal::from_parts(3600, 0, 0, false, 0);

    fn of(part: Part, measured: Decimal, price: Decimal) -> Self {
        match part {
            Part::Energy => Self(measured * price * Self::SECONDS / Decimal::ONE_THOUSAND),
            Part::Time | Part::Idle => Self(measured * price),
            Part::Session => Self(measured * price * Self::SECONDS),
        }
    }

    fn percent(self, percent: Decimal) -> Self {
        Self(self.0 * percent / Decimal::ONE_HUNDRED)
    }

    /// In the currency's unit.
    fn rounded(self, digits: u32) -> Decimal {
        (self.0 / Self::SECONDS)
            .round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero)
            .normalize()
    }
}

impl std::ops::Add for Hourly {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::iter::Sum for Hourly {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self(Decimal::ZERO), |sum, amount| sum + amount)
    }
}

#[cfg(test)]
mod tests;
