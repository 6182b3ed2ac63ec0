//! What real charge points send, as seen in the wild.

use chrono::{TimeDelta, Utc};
use serde_json::json;
use testbed::Database;
use voltgate_proto::ocpp::v1::CreateIdTokenRequest;

use crate::state::connected;
use crate::station::Station;

async fn report(station: &mut Station, connector: i32, status: &str, timestamp: &str) {
    let payload = json!({"connectorId": connector, "status": status, "errorCode": "NoError", "timestamp": timestamp});
    assert_eq!(station.call("StatusNotification", payload).await, json!({}));
}

#[tokio::test]
async fn a_clock_at_1970_and_a_meter_at_0_make_a_charge_like_any_other() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "1970-01-01T00:00:09Z").await;
    assert_eq!(
        service.messages("CP1").await[0].violations,
        ["timestamp: is of a clock that was never set"]
    );
    let values = json!({"connectorId": 1, "transactionId": -1, "meterValue": [
        {"timestamp": "1970-01-01T00:05:00Z", "sampledValue": [{"value": "500"}]}]});
    station.call("MeterValues", values).await;
    assert_eq!(service.transaction(id).await.energy_wh, Some(500));
    let stop = json!({"transactionId": id, "meterStop": 900, "timestamp": "1970-01-01T00:10:00Z"});
    station.call("StopTransaction", stop).await;
    let charge = service.transaction(id).await;
    assert_eq!((charge.meter_start_wh, charge.energy_wh), (Some(0), Some(900)));
    assert_eq!(charge.started_at.unwrap().seconds, 9);
    assert!(charge.start_received_at.unwrap().seconds > 1_700_000_000);

    // Its statuses are in the order in which they come.
    report(&mut station, 1, "Charging", "1970-01-01T00:20:00Z").await;
    report(&mut station, 1, "Available", "1970-01-01T00:00:30Z").await;
    assert_eq!(
        service.charge_point("CP1").await.connectors[0].status.as_deref(),
        Some("Available")
    );
}

#[tokio::test]
async fn local_time_that_says_it_is_utc_is_kept_as_told_and_hides_nothing() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let local = |minutes: i64| {
        let local = Utc::now() + TimeDelta::hours(2) + TimeDelta::minutes(minutes);
        local.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    report(&mut station, 1, "Preparing", &local(0)).await;
    report(&mut station, 1, "Charging", &local(1)).await;
    let id = station.start("TAG", 100, &local(2)).await;
    assert_eq!(
        service.messages("CP1").await[0].violations,
        ["timestamp: is ahead of our clock"]
    );
    // Its clock is set right meanwhile, so that it stops before it started.
    let stop = json!({"transactionId": id, "meterStop": 400, "timestamp": Utc::now().to_rfc3339()});
    station.call("StopTransaction", stop).await;
    assert_eq!(service.transaction(id).await.energy_wh, Some(300));
    report(&mut station, 1, "Available", &Utc::now().to_rfc3339()).await;
    assert_eq!(
        service.charge_point("CP1").await.connectors[0].status.as_deref(),
        Some("Available")
    );
}

#[tokio::test]
async fn a_tag_of_21_characters_charges_as_the_token_that_it_is() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let tag = "123456789012345678901";
    service
        .register_tokens([CreateIdTokenRequest {
            id_token: tag.to_owned(),
            ..Default::default()
        }])
        .await;
    let start = json!({"connectorId": 1, "idTag": tag, "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"});
    let started = station.call("StartTransaction", start).await;
    assert_eq!(started["idTagInfo"]["status"], "Accepted");
    assert!(service.messages("CP1").await[0].violations[0].contains("idTag"));
    let id = started["transactionId"].as_i64().unwrap();
    assert_eq!(service.transaction(id).await.id_token, tag);
    let stop = json!({"transactionId": id, "idTag": tag, "meterStop": 1, "timestamp": "2026-03-01T13:00:00Z"});
    assert_eq!(
        station.call("StopTransaction", stop).await["idTagInfo"]["status"],
        "Accepted"
    );
}

#[tokio::test]
async fn a_boot_with_empty_texts_is_accepted_and_they_are_not_known() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let boot = json!({"chargePointVendor": "Volt", "chargePointModel": "One", "chargePointSerialNumber": "",
        "iccid": "", "imsi": "", "meterType": ""});
    assert_eq!(station.call("BootNotification", boot).await["status"], "Accepted");
    assert_eq!(service.charge_point("CP1").await.serial_number, None);
    let stored: (Option<String>, Option<String>, Option<String>) =
        sqlx::query_as("SELECT iccid, imsi, meter_type FROM ocpp.charge_point")
            .fetch_one(&service.pool)
            .await
            .unwrap();
    assert_eq!(stored, (None, None, None));
}

#[tokio::test]
async fn connector_0_is_the_charge_point_itself() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    report(&mut station, 0, "Unavailable", &Utc::now().to_rfc3339()).await;
    report(&mut station, 1, "Available", &Utc::now().to_rfc3339()).await;
    let connectors = service.charge_point("CP1").await.connectors;
    let shown: Vec<_> = connectors
        .iter()
        .map(|one| (one.connector_id, one.status.as_deref().unwrap()))
        .collect();
    assert_eq!(shown, [(0, "Unavailable"), (1, "Available")]);
}

#[tokio::test]
async fn three_first_statuses_within_a_millisecond_are_all_there_and_the_last_of_a_connector_counts() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let now = Utc::now().format("%Y-%m-%dT%H:%M:%S.123Z").to_string();
    // Sent at once, without waiting for an answer.
    for (id, (connector, status)) in [(0, "Available"), (1, "Available"), (2, "Available"), (1, "Preparing")]
        .into_iter()
        .enumerate()
    {
        let payload = json!({"connectorId": connector, "status": status, "errorCode": "NoError", "timestamp": now});
        station
            .send(&json!([2, id.to_string(), "StatusNotification", payload]).to_string())
            .await;
    }
    for id in 0..4 {
        assert_eq!(station.frame().await, json!([3, id.to_string(), {}]));
    }
    let connectors = service.charge_point("CP1").await.connectors;
    let shown: Vec<_> = connectors
        .iter()
        .map(|one| (one.connector_id, one.status.as_deref().unwrap()))
        .collect();
    assert_eq!(shown, [(0, "Available"), (1, "Preparing"), (2, "Available")]);
}

#[tokio::test]
async fn a_stop_that_is_said_twice_at_shutdown_is_one() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let stop =
        json!({"transactionId": id, "meterStop": 100, "timestamp": "2026-03-01T13:00:00Z", "reason": "PowerLoss"});
    // Twice with ids of their own, the second as the socket closes.
    for call in ["a", "b"] {
        station
            .send(&json!([2, call, "StopTransaction", stop]).to_string())
            .await;
    }
    assert_eq!(station.frame().await, json!([3, "a", {}]));
    assert_eq!(station.frame().await, json!([3, "b", {}]));
    station.hang_up().await;
    let charge = service.transaction(id).await;
    assert_eq!(
        (charge.energy_wh, charge.stop_reason.as_deref()),
        (Some(100), Some("PowerLoss"))
    );
    assert!(service.unmatched().await.is_empty());
}
