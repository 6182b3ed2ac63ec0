//! Charges that have ended, and the receipts that follow.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use service_kit::event::{self, Unreadable};
use uuid::Uuid;
use voltgate_proto::events::v1::{ChargingCostLine, ChargingFinished, PowerPoint};

use super::decision::Decision;
use crate::message::Draft;
use crate::template::Template;

/// To whoever charged, if it is known who that was. Their address is asked for when the receipt is sent.
pub(super) fn receipt(charge: ChargingFinished) -> Result<Decision, Unreadable> {
    let Some(account) = charge.account_id.as_deref().and_then(|id| Uuid::parse_str(id).ok()) else {
        return Ok(Decision::NoRecipient);
    };
    let time = |time: Option<prost_types::Timestamp>| time.and_then(event::instant).ok_or(Unreadable::Time);
    let (started, stopped) = (time(charge.started_at)?, time(charge.stopped_at)?);
    let place = charge.place.unwrap_or_default();
    let zone = TimeZone::get(&place.time_zone).unwrap_or(TimeZone::UTC);
    let cost = charge.cost.as_ref();
    let variables = json!({
        "transaction": charge.transaction_id,
        "site": some(&place.site_name),
        "identity": charge.identity,
        "connector": charge.connector_id,
        "started": wall_time(started, &zone),
        "stopped": wall_time(stopped, &zone),
        "zone": zone.iana_name().unwrap_or("UTC"),
        "energy": charge.energy_wh.as_deref().and_then(kilowatt_hours),
        "record": cost.map(|cost| cost.record_id.as_str()),
        "corrected": charge.corrected,
        "tariff": cost.map(|cost| cost.tariff_name.as_str()),
        "currency": cost.map(|cost| cost.currency.as_str()),
        "total": cost.map(|cost| cost.total.as_str()),
        "lines": cost.map(|cost| cost.lines.iter().map(line).collect::<Vec<_>>()).unwrap_or_default(),
        "remarks": cost.map(|cost| cost.remarks.as_slice()).unwrap_or_default(),
        "power": power(&charge.power, started),
        "highest": charge.highest_watts.filter(|watts| *watts > 0).map(kilowatts),
    });
    Ok(Decision::Queue(Draft {
        template: Template::Receipt,
        recipient: String::new(),
        language: None,
        variables,
        account_id: Some(account),
        expires_at: None,
    }))
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// By the clock of the site, in figures that are read alike in every language. An hour that comes twice, as summer time ends, is told from
/// the other by how far it is from UTC.
fn wall_time(at: DateTime<Utc>, zone: &TimeZone) -> String {
    Timestamp::from_second(at.timestamp())
        .map(|at| {
            at.to_zoned(zone.clone())
                .strftime("%Y-%m-%d %H:%M (UTC%:z)")
                .to_string()
        })
        .unwrap_or_default()
}

/// From watt-hours, to the digit.
fn kilowatt_hours(wh: &str) -> Option<String> {
    let kwh = rust_decimal::Decimal::from_str(wh).ok()? / rust_decimal::Decimal::ONE_THOUSAND;
    Some(kwh.normalize().to_string())
}

/// From watts, to a tenth.
fn kilowatts(watts: i32) -> String {
    format!("{}.{}", watts / 1000, watts % 1000 / 100)
}

fn line(line: &ChargingCostLine) -> Value {
    json!({
        "part": line.part,
        "quantity": line.quantity,
        "unit": line.unit,
        "price": line.price,
        "tax": line.tax_name,
        "percent": line.tax_percent,
        "amount": line.amount,
    })
}

/// Pairs of seconds since the start and watts.
fn power(points: &[PowerPoint], started: DateTime<Utc>) -> Vec<Value> {
    let pairs = points.iter().filter_map(|point| {
        let at = event::instant(point.at?)?;
        Some(json!([(at - started).num_seconds(), point.watts]))
    });
    pairs.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::{TimeDelta, TimeZone as _};
    use service_kit::event::timestamp;
    use voltgate_proto::events::v1::{ChargingCost, Place};

    use super::*;

    fn charge() -> ChargingFinished {
        let started = Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap();
        ChargingFinished {
            transaction_id: 42,
            account_id: Some(Uuid::from_u128(7).to_string()),
            identity: "CP-1".to_owned(),
            connector_id: 1,
            place: Some(Place {
                site_name: "Harbour".to_owned(),
                time_zone: "Europe/Berlin".to_owned(),
                ..Place::default()
            }),
            started_at: Some(timestamp(started)),
            stopped_at: Some(timestamp(started + TimeDelta::hours(1))),
            energy_wh: Some("12345".to_owned()),
            cost: Some(ChargingCost {
                currency: "EUR".to_owned(),
                total: "4.81".to_owned(),
                record_number: 1,
                ..ChargingCost::default()
            }),
            power: vec![PowerPoint {
                at: Some(timestamp(started + TimeDelta::minutes(30))),
                watts: 11_000,
            }],
            highest_watts: Some(11_040),
            ..ChargingFinished::default()
        }
    }

    #[test]
    fn a_charge_leads_to_a_receipt_by_the_clock_of_its_site() {
        let Ok(Decision::Queue(draft)) = receipt(charge()) else {
            panic!("a receipt is queued")
        };
        assert_eq!((draft.template, draft.recipient.as_str()), (Template::Receipt, ""));
        assert_eq!(draft.account_id, Some(Uuid::from_u128(7)));
        let told = &draft.variables;
        assert_eq!(told["started"], "2026-03-01 13:00 (UTC+01:00)");
        assert_eq!(
            (&told["zone"], &told["highest"]),
            (&json!("Europe/Berlin"), &json!("11.0"))
        );
        assert_eq!(told["energy"], "12.345");
        assert_eq!(told["total"], "4.81");
        assert_eq!(told["corrected"], false);
        assert_eq!(told["power"], json!([[1800, 11_000]]));
    }

    #[test]
    fn a_charge_over_the_end_of_summer_time_takes_as_long_as_it_took_and_one_of_no_place_is_told_in_utc() {
        let started = Utc.with_ymd_and_hms(2026, 10, 25, 0, 30, 0).unwrap();
        let told = |place| {
            let over_night = ChargingFinished {
                place,
                started_at: Some(timestamp(started)),
                stopped_at: Some(timestamp(started + TimeDelta::hours(1))),
                corrected: true,
                ..charge()
            };
            let Ok(Decision::Queue(draft)) = receipt(over_night) else {
                panic!("a receipt is queued")
            };
            let time = |name: &str| draft.variables[name].as_str().unwrap().to_owned();
            assert_eq!(draft.variables["corrected"], true);
            [time("started"), time("stopped"), time("zone")]
        };
        assert_eq!(
            told(charge().place),
            [
                "2026-10-25 02:30 (UTC+02:00)",
                "2026-10-25 02:30 (UTC+01:00)",
                "Europe/Berlin"
            ]
        );
        assert_eq!(
            told(None),
            ["2026-10-25 00:30 (UTC+00:00)", "2026-10-25 01:30 (UTC+00:00)", "UTC"]
        );
    }

    #[test]
    fn a_charge_that_is_nobodys_has_no_receipt_and_one_without_a_time_cannot_be_read() {
        let nobodys = ChargingFinished {
            account_id: None,
            ..charge()
        };
        assert!(matches!(receipt(nobodys), Ok(Decision::NoRecipient)));
        let timeless = ChargingFinished {
            stopped_at: None,
            ..charge()
        };
        assert!(matches!(receipt(timeless), Err(Unreadable::Time)));
    }
}
