//! What of many samples tells how a charge stands: the power that flows, and how full the vehicle's battery is.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{OUTLET, Sample};
use crate::station_clock::ordered_at;

const POWER: &str = "Power.Active.Import";
const STATE_OF_CHARGE: &str = "SoC";

const CONDUCTORS: [&str; 3] = ["L1", "L2", "L3"];

/// A value with its time, by which later ones are told from earlier ones.
pub type Dated = (DateTime<Utc>, Decimal);

/// In W, at the outlet: that of all phases together, or else the sum of those that were told for the same time.
pub fn power(samples: &[Sample], received_at: DateTime<Utc>) -> Option<Dated> {
    let told = samples.iter().filter_map(|sample| {
        if sample.measurand != POWER || sample.location != OUTLET {
            return None;
        }
        let normalized = sample.normalized()?;
        let is_power = normalized.unit.as_deref() == Some("W");
        is_power.then_some((sample, normalized.value))
    });
    let latest = told.clone().map(|(sample, _)| sample.sampled_at).max()?;
    let then = told.filter(|(sample, _)| sample.sampled_at == latest);
    let of_all_phases = then.clone().find(|(sample, _)| sample.phase.is_none());
    let power = match of_all_phases {
        Some((_, power)) => power,
        // Some tell one twice, to the neutral conductor and without saying to what, or in two contexts.
        None => CONDUCTORS
            .iter()
            .filter_map(|conductor| {
                let mut told = then
                    .clone()
                    .filter(|(sample, _)| sample.phase.as_deref().is_some_and(|phase| is_of(phase, conductor)));
                told.next()
            })
            .try_fold(Decimal::ZERO, |sum, (_, power)| sum.checked_add(power))?,
    };
    Some((ordered_at(Some(latest), received_at), power))
}

/// In percent, 0 to 100.
pub fn state_of_charge(samples: &[Sample], received_at: DateTime<Utc>) -> Option<Dated> {
    let told = samples.iter().filter_map(|sample| {
        if sample.measurand != STATE_OF_CHARGE {
            return None;
        }
        let normalized = sample.normalized()?;
        // There is no other unit for it, and stations leave it out.
        let is_percent = normalized.unit.is_none_or(|unit| unit == "Percent");
        let is_possible = (Decimal::ZERO..=Decimal::ONE_HUNDRED).contains(&normalized.value);
        (is_percent && is_possible).then_some((sample.sampled_at, normalized.value))
    });
    told.max()
        .map(|(at, percent)| (ordered_at(Some(at), received_at), percent))
}

/// Not between two phases, nor of the neutral conductor.
fn is_of(phase: &str, conductor: &str) -> bool {
    phase
        .strip_prefix(conductor)
        .is_some_and(|rest| matches!(rest, "" | "-N"))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn sample(second: i64, measurand: &str, value: &str, unit: Option<&str>, phase: Option<&str>) -> Sample {
        Sample {
            sampled_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(second),
            value: value.to_owned(),
            measurand: measurand.to_owned(),
            unit: unit.map(str::to_owned),
            context: "Sample.Periodic".to_owned(),
            format: "Raw".to_owned(),
            location: OUTLET.to_owned(),
            phase: phase.map(str::to_owned),
        }
    }

    fn watts(samples: &[Sample]) -> Option<Decimal> {
        power(samples, DateTime::UNIX_EPOCH).map(|(_, watts)| watts)
    }

    #[test]
    fn power_is_the_latest_of_all_phases_or_the_sum_of_each() {
        let whole = |second, value| sample(second, POWER, value, Some("kW"), None);
        let phase = |second, phase| sample(second, POWER, "3.5", Some("kW"), Some(phase));
        assert_eq!(
            watts(&[whole(2, "11"), whole(1, "22"), phase(2, "L1")]),
            Some(Decimal::from(11_000))
        );
        let phases = [phase(2, "L1"), phase(2, "L2-N"), phase(2, "L1-L2"), phase(1, "L3")];
        assert_eq!(watts(&phases), Some(Decimal::from(7000)));
        let twice = [phase(2, "L1"), phase(2, "L1-N"), phase(2, "L2"), phase(2, "L2")];
        assert_eq!(watts(&twice), Some(Decimal::from(7000)));
        let other = Sample {
            location: "Inlet".to_owned(),
            ..whole(3, "50")
        };
        assert_eq!(watts(&[other]), None);
        assert_eq!(watts(&[sample(1, POWER, "11", Some("A"), None)]), None);
        assert_eq!(watts(&[sample(1, POWER, "n/a", Some("W"), None)]), None);
    }

    #[test]
    fn a_battery_is_between_empty_and_full() {
        let percent = |value, unit| {
            let told = [sample(1, STATE_OF_CHARGE, value, unit, None)];
            state_of_charge(&told, DateTime::UNIX_EPOCH).map(|(_, percent)| percent)
        };
        assert_eq!(percent("64", Some("Percent")), Some(Decimal::from(64)));
        assert_eq!(percent("0", None), Some(Decimal::ZERO));
        for (value, unit) in [("101", None), ("-1", None), ("64", Some("Wh")), ("full", None)] {
            assert_eq!(percent(value, unit), None, "{value}");
        }
    }
}
