//! The register that a running charge is counted by (rule 8 of the OCPP decisions).

use chrono::{TimeDelta, Utc};
use serde_json::json;
use testbed::Database;

use crate::service::Service;
use crate::state::connected;
use crate::station::Station;

async fn sample(station: &mut Station, id: i64, timestamp: &str, value: &str) {
    let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [
        {"timestamp": timestamp, "sampledValue": [{"value": value}]}]});
    assert_eq!(station.call("MeterValues", values).await, json!({}));
}

async fn energy(service: &Service, id: i64) -> Option<i32> {
    service.transaction(id).await.energy_wh
}

/// Rules 8 and 9.
#[tokio::test]
async fn a_sample_from_the_future_does_not_freeze_the_register() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 100, "2026-03-01T12:00:00Z").await;
    for (timestamp, value, expected) in [
        ("2106-02-07T06:28:15Z", "200", 100),
        ("1970-01-01T00:00:09Z", "300", 200),
    ] {
        sample(&mut station, id, timestamp, value).await;
        assert_eq!(energy(&service, id).await, Some(expected), "{timestamp}");
    }
    let now = (Utc::now() + TimeDelta::seconds(1)).to_rfc3339();
    sample(&mut station, id, &now, "400").await;
    assert_eq!(energy(&service, id).await, Some(300));
    // One that was on its way for long still does not win.
    sample(&mut station, id, "2026-03-01T12:10:00Z", "150").await;
    assert_eq!(energy(&service, id).await, Some(300));
}

/// Rule 8: session and lifetime registers are told apart.
#[tokio::test]
async fn a_register_that_begins_anew_with_the_session_is_the_energy_and_one_that_counts_for_ever_is_compared_with_its_start()
 {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let lifetime = station.start("TAG", 100_000, "2026-03-01T12:00:00Z").await;
    // The meter tells whole kilowatt-hours, and lacks what it has not told yet.
    for (time, value, expected) in [("12:00", "99600", None), ("12:10", "104000", Some(4000))] {
        sample(&mut station, lifetime, &format!("2026-03-01T{time}:00Z"), value).await;
        assert_eq!(energy(&service, lifetime).await, expected);
    }

    let session = station.start("TAG", 100_000, "2026-03-01T13:00:00Z").await;
    for (time, value, expected) in [("13:00", "0", 0), ("13:10", "4000", 4000)] {
        sample(&mut station, session, &format!("2026-03-01T{time}:00Z"), value).await;
        assert_eq!(energy(&service, session).await, Some(expected));
    }
    // What the stop says counts, and it is of the other kind.
    let stop = json!({"transactionId": session, "meterStop": 104_200, "timestamp": "2026-03-01T14:00:00Z"});
    station.call("StopTransaction", stop).await;
    assert_eq!(energy(&service, session).await, Some(4200));
}

/// Rule 8.
#[tokio::test]
async fn a_register_of_the_session_that_passes_the_start_stays_one() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 3000, "2026-03-01T12:00:00Z").await;
    for (time, value, expected) in [("12:00", "10", 10), ("12:30", "2900", 2900), ("13:00", "5500", 5500)] {
        sample(&mut station, id, &format!("2026-03-01T{time}:00Z"), value).await;
        assert_eq!(energy(&service, id).await, Some(expected));
    }
    // The samples of the first message may come in any order.
    let id = station.start("TAG", 3000, "2026-03-01T14:00:00Z").await;
    let readings = [("14:30", "3500"), ("14:00", "0")].map(
        |(time, value)| json!({"timestamp": format!("2026-03-01T{time}:00Z"), "sampledValue": [{"value": value}]}),
    );
    let values = json!({"connectorId": 1, "transactionId": id, "meterValue": readings});
    station.call("MeterValues", values).await;
    assert_eq!(energy(&service, id).await, Some(3500));
}

/// Rules 4 and 8: what no meter can show is kept, and nobody's energy.
#[tokio::test]
async fn a_register_that_no_number_of_the_api_holds_is_stored_and_shown_to_nobody_as_energy() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 3000, "2026-03-01T12:00:00Z").await;
    for value in ["-3000000000", "9000000000000"] {
        sample(&mut station, id, "2026-03-01T12:10:00Z", value).await;
        assert_eq!(energy(&service, id).await, None, "{value}");
    }
    assert_eq!(service.meter_values(id).await.len(), 2);
    let stop = json!({"transactionId": id, "timestamp": "2026-03-01T14:00:00Z"});
    assert_eq!(station.call("StopTransaction", stop).await, json!({}));
    assert_eq!(energy(&service, id).await, None);
}
