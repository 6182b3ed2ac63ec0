//! Meter readings as 1.6 writes them, with the defaults that it leaves unsaid (7.28 to 7.44).

use chrono::{DateTime, Utc};
use ocpp::v1_6::{MeterReading, Sample as Wire};

use crate::meter_values::{ENERGY_REGISTER, Sample};

/// A reading whose time cannot be read is taken for one of the moment it came in.
pub(super) fn samples(readings: Vec<MeterReading>, received_at: DateTime<Utc>) -> Vec<Sample> {
    readings
        .into_iter()
        .flat_map(|reading| {
            let sampled_at = reading.timestamp.unwrap_or(received_at);
            reading.samples.into_iter().map(move |wire| sample(wire, sampled_at))
        })
        .collect()
}

fn sample(wire: Wire, sampled_at: DateTime<Utc>) -> Sample {
    let measurand = or(wire.measurand, ENERGY_REGISTER);
    // Wh is the default for energy only; other quantities have none.
    let unit = wire
        .unit
        .or_else(|| measurand.starts_with("Energy.").then(|| "Wh".to_owned()));
    Sample {
        sampled_at,
        value: wire.value,
        measurand,
        unit,
        context: or(wire.context, "Sample.Periodic"),
        format: or(wire.format, "Raw"),
        location: or(wire.location, "Outlet"),
        phase: wire.phase,
    }
}

fn or(told: Option<String>, default: &str) -> String {
    told.unwrap_or_else(|| default.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: Wire) -> Sample {
        sample(wire, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_bare_value_is_energy_in_watt_hours_sampled_at_the_outlet() {
        let sample = read(Wire {
            value: "10".to_owned(),
            ..Wire::default()
        });
        assert_eq!(sample.measurand, "Energy.Active.Import.Register");
        assert_eq!(sample.unit.as_deref(), Some("Wh"));
        assert_eq!(
            (sample.context.as_str(), sample.format.as_str()),
            ("Sample.Periodic", "Raw")
        );
        assert_eq!((sample.location.as_str(), sample.phase), ("Outlet", None));
    }

    #[test]
    fn only_energy_has_a_default_unit() {
        let sample = read(Wire {
            value: "10".to_owned(),
            measurand: Some("Power.Active.Import".to_owned()),
            ..Wire::default()
        });
        assert_eq!(sample.unit, None);
    }

    #[test]
    fn what_the_station_spells_in_its_own_way_stays_as_it_came() {
        let sample = read(Wire {
            value: "10".to_owned(),
            unit: Some("furlong".to_owned()),
            context: Some("Sample.Vendor".to_owned()),
            ..Wire::default()
        });
        assert_eq!(sample.unit.as_deref(), Some("furlong"));
        assert_eq!(sample.context, "Sample.Vendor");
    }
}
