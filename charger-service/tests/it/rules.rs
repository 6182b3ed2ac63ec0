//! Rules of the OCPP decisions that hold a network's money together. Those with tests of their own files: 1 (`takeover`), 2
//! (`boot_gate`), 4 (`placed`), 8 (`registers`), 10 (`commands`), 11 and 15 (`passwords`, `certificates`), 14 (`jobs`, `numbered_jobs`).
//! Rules 5, 6 and 13 are about OCPP 2.x only.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use service_kit::event::timestamp;
use testbed::Database;
use voltgate_proto::ocpp::v1::CreateIdTokenRequest;

use crate::service::Service;
use crate::station::Station;

async fn connected(database: &Database) -> (Service, Station, String) {
    let service = Service::start(database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    (service, station, password)
}

fn stop(id: i64, meter_stop: i64) -> Value {
    json!({"transactionId": id, "meterStop": meter_stop, "timestamp": "2026-03-01T13:00:00Z"})
}

/// Rule 3: the duplicate is looked for before the token.
#[tokio::test]
async fn a_start_that_is_repeated_is_the_same_transaction_even_when_its_token_was_blocked_in_between() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    service.register_token("TAG").await;
    let first = station.start("TAG", 10, "2026-03-01T12:00:00Z").await;
    sqlx::query("UPDATE ocpp.id_token SET blocked = true")
        .execute(&service.pool)
        .await
        .unwrap();
    let again = json!({"connectorId": 1, "idTag": "tag", "meterStart": 10, "timestamp": "2026-03-01T13:00:00+01:00"});
    let again = station.call("StartTransaction", again).await;
    assert_eq!(
        again,
        json!({"idTagInfo": {"status": "Accepted"}, "transactionId": first})
    );
    assert_eq!(service.transactions_of("CP1").await.len(), 1);
}

/// Rule 3: what was stopped is no duplicate.
#[tokio::test]
async fn a_start_like_one_that_was_stopped_is_a_new_transaction() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    service.register_token("TAG").await;
    let first = station.start("TAG", 0, "1970-01-01T00:00:09Z").await;
    station.call("StopTransaction", stop(first, 100)).await;
    let second = station.start("TAG", 0, "1970-01-01T00:00:09Z").await;
    assert_ne!(first, second);
    assert_eq!(service.transactions_of("CP1").await.len(), 2);
}

/// Rule 3.
#[tokio::test]
async fn two_sockets_that_say_the_same_start_at_once_get_one_transaction() {
    let database = Database::create().await;
    let (service, mut old, password) = connected(&database).await;
    service.register_token("TAG").await;
    // The frame of the old socket is on its way while the new one comes in.
    let start = json!([2, "s", "StartTransaction",
        {"connectorId": 1, "idTag": "TAG", "meterStart": 7, "timestamp": "2026-03-01T12:00:00Z"}]);
    old.send(&start.to_string()).await;
    let mut new = Station::connect(&service, "CP1", &password).await;
    new.send(&start.to_string()).await;
    let id = new.frame().await[2]["transactionId"].clone();
    assert!(id.as_i64().unwrap() > 0);
    if let crate::station::Received::Frame(frame) = old.receive().await {
        assert_eq!(serde_json::from_str::<Value>(&frame).unwrap()[2]["transactionId"], id);
    }
    assert_eq!(service.transactions_of("CP1").await.len(), 1);
}

/// Rule 3: refused starts are stored, each with an id of its own.
#[tokio::test]
async fn a_refused_start_has_an_id_of_its_own_and_its_energy_is_not_lost() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let start = |time: &str| json!({"connectorId": 1, "idTag": "STRANGER", "meterStart": 5, "timestamp": format!("2026-03-01T{time}Z")});
    let first = station.call("StartTransaction", start("12:00:00")).await;
    let second = station.call("StartTransaction", start("12:01:00")).await;
    assert_eq!(first["idTagInfo"]["status"], "Invalid");
    let (first, second) = (
        first["transactionId"].as_i64().unwrap(),
        second["transactionId"].as_i64().unwrap(),
    );
    assert!(first > 0 && second > 0 && first != second);
    station.call("StopTransaction", stop(first, 105)).await;
    let transaction = service.transaction(first).await;
    assert_eq!(
        (transaction.status.as_str(), transaction.energy_wh),
        ("refused", Some(100))
    );
}

/// Rule 4.
#[tokio::test]
async fn a_stop_that_is_repeated_changes_nothing() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let stop = json!({"transactionId": id, "meterStop": 100, "timestamp": "2026-03-01T13:00:00.123456789Z",
        "transactionData": [{"timestamp": "2026-03-01T13:00:00Z", "sampledValue": [{"value": "100"}]}]});
    for _ in 0..3 {
        assert_eq!(station.call("StopTransaction", stop.clone()).await, json!({}));
    }
    assert_eq!(service.meter_values(id).await.len(), 1);
    assert!(service.unmatched().await.is_empty());
}

/// Rule 4: a repeated stop with other facts.
#[tokio::test]
async fn a_stop_that_contradicts_the_first_is_answered_and_kept_and_not_applied() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    station.call("StopTransaction", stop(id, 100)).await;
    assert_eq!(station.call("StopTransaction", stop(id, 999)).await, json!({}));
    assert_eq!(service.transaction(id).await.meter_stop_wh, Some(100));
    assert_eq!(service.unmatched().await, [json!(["stop", id, "already_stopped"])]);
}

/// Rule 4: unknown ones.
#[tokio::test]
async fn stops_and_meter_values_of_no_transaction_are_answered_and_kept_once() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    for _ in 0..2 {
        assert_eq!(station.call("StopTransaction", stop(4711, 100)).await, json!({}));
    }
    station
        .call(
            "StopTransaction",
            json!({"meterStop": 1, "timestamp": "2026-03-01T13:00:00Z"}),
        )
        .await;
    let values = json!({"connectorId": 1, "transactionId": -1, "meterValue": [
        {"timestamp": "2026-03-01T12:05:00Z", "sampledValue": [{"value": "1"}]}]});
    assert_eq!(station.call("MeterValues", values).await, json!({}));
    assert_eq!(
        service.unmatched().await,
        [
            json!(["stop", 4711, "unknown_transaction"]),
            json!(["stop", null, "unknown_transaction"]),
            json!(["meter_values", -1, "unknown_transaction"]),
        ]
    );
    assert!(service.messages("CP1").await[0].violations[0].contains("kept for reconciliation"));
}

/// Rule 3: a station can stop its own only.
#[tokio::test]
async fn a_charge_point_can_stop_and_meter_its_own_transactions_only() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;

    let password = service.register("CP2").await;
    let mut thief = Station::connect(&service, "CP2", &password).await;
    assert_eq!(thief.call("StopTransaction", stop(id, 1)).await, json!({}));
    let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [
        {"timestamp": "2026-03-01T12:05:00Z", "sampledValue": [{"value": "1"}]}]});
    thief.call("MeterValues", values).await;
    let transaction = service.transaction(id).await;
    assert_eq!((transaction.status.as_str(), transaction.energy_wh), ("active", None));
    assert!(service.meter_values(id).await.is_empty());
    assert_eq!(
        service.unmatched().await,
        [
            json!(["stop", id, "other_charge_point"]),
            json!(["meter_values", id, "other_charge_point"])
        ]
    );
}

/// Rule 4: an implausible stop is stored and flagged.
#[tokio::test]
async fn a_register_that_fell_leaves_the_energy_unknown_and_is_flagged() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 1000, "2026-03-01T12:00:00Z").await;
    station.call("StopTransaction", stop(id, 10)).await;
    let transaction = service.transaction(id).await;
    assert_eq!(
        (transaction.status.as_str(), transaction.energy_wh),
        ("completed", None)
    );
    assert_eq!(
        service.messages("CP1").await[0].violations,
        ["meterStop: is below the transaction's meterStart"]
    );
}

#[tokio::test]
async fn a_register_beyond_32_bits_is_left_out_of_the_answer_and_its_energy_is_right() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 3_000_000_000, "2026-03-01T12:00:00Z").await;
    station.call("StopTransaction", stop(id, 3_000_001_500)).await;
    let transaction = service.transaction(id).await;
    assert_eq!((transaction.meter_start_wh, transaction.meter_stop_wh), (None, None));
    assert_eq!(transaction.energy_wh, Some(1500));
}

/// Rule 7.
#[tokio::test]
async fn a_token_is_judged_by_what_the_operator_said_of_it() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let token = |id_token: &str| CreateIdTokenRequest {
        id_token: id_token.to_owned(),
        ..Default::default()
    };
    let soon = Utc::now() + TimeDelta::seconds(60);
    service
        .register_tokens([
            CreateIdTokenRequest {
                group_id: Some("FLEET".to_owned()),
                ..token("Good")
            },
            CreateIdTokenRequest {
                blocked: true,
                ..token("Stolen")
            },
            CreateIdTokenRequest {
                expires_at: Some(timestamp(soon)),
                ..token("Soon")
            },
        ])
        .await;
    let mut authorize = async |tag: &str| station.call("Authorize", json!({"idTag": tag})).await["idTagInfo"].clone();
    assert_eq!(
        authorize("GOOD").await,
        json!({"parentIdTag": "FLEET", "status": "Accepted"})
    );
    assert_eq!(authorize("stolen").await["status"], "Blocked");
    assert_eq!(authorize("nobody").await, json!({"status": "Invalid"}));
    let info = authorize("soon").await;
    assert_eq!(info["status"], "Accepted");
    assert!(info["expiryDate"].as_str().unwrap().ends_with('Z'));
    service.clock.advance(TimeDelta::seconds(61));
    assert_eq!(authorize("soon").await["status"], "Expired");
}

/// Rule 7: concurrent transactions are unlimited.
#[tokio::test]
async fn one_token_may_charge_at_two_connectors() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    service.register_token("TAG").await;
    for connector in [1, 2] {
        let start =
            json!({"connectorId": connector, "idTag": "TAG", "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"});
        assert_eq!(
            station.call("StartTransaction", start).await["idTagInfo"]["status"],
            "Accepted"
        );
    }
    assert_eq!(service.transactions_of("CP1").await.len(), 2);
}

/// Rule 2.
#[tokio::test]
async fn one_that_is_not_accepted_may_boot_and_tell_of_energy_and_nothing_else() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for status in ["Pending", "Rejected"] {
        let password = service.register_as(status, status).await;
        let mut station = Station::connect(&service, status, &password).await;
        // Never booted here: let through.
        station.call("Heartbeat", json!({})).await;
        let boot = station.boot().await;
        assert_eq!(
            (boot["status"].as_str(), boot["interval"].as_i64()),
            (Some(status), Some(60))
        );
        assert_eq!(station.refused("Heartbeat", json!({})).await, "SecurityError");
        assert_eq!(
            station.refused("Authorize", json!({"idTag": "TAG"})).await,
            "SecurityError"
        );
        assert_eq!(station.call("StopTransaction", stop(1, 1)).await, json!({}));

        // The answer is remembered across connections, and a change counts at the next boot.
        let mut station = Station::connect(&service, status, &password).await;
        assert_eq!(station.refused("Heartbeat", json!({})).await, "SecurityError");
        sqlx::query("UPDATE ocpp.charge_point SET registration_status = 'Accepted' WHERE identity = $1")
            .bind(status)
            .execute(&service.pool)
            .await
            .unwrap();
        assert_eq!(station.refused("Heartbeat", json!({})).await, "SecurityError");
        assert_eq!(station.boot().await["status"], "Accepted");
        station.call("Heartbeat", json!({})).await;
    }
}

/// Rule 9.
#[tokio::test]
async fn a_status_from_the_future_does_not_hide_those_that_follow_and_a_late_one_does_not_win() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let minutes_ago = |minutes| (Utc::now() - TimeDelta::minutes(minutes)).to_rfc3339();
    let mut report = async |status: &str, timestamp: Option<String>| {
        let mut payload = json!({"connectorId": 1, "status": status, "errorCode": "NoError"});
        if let Some(timestamp) = timestamp {
            payload["timestamp"] = json!(timestamp);
        }
        station.call("StatusNotification", payload).await;
        service.charge_point("CP1").await.connectors[0].status.clone().unwrap()
    };
    assert_eq!(report("Available", Some(minutes_ago(10))).await, "Available");
    assert_eq!(report("Charging", Some(minutes_ago(2))).await, "Charging");
    assert_eq!(report("Preparing", Some(minutes_ago(5))).await, "Charging");
    assert_eq!(
        report("Faulted", Some("2099-01-01T00:00:00Z".to_owned())).await,
        "Faulted"
    );
    assert_eq!(report("Finishing", None).await, "Finishing");
}

/// Rule 4: late and implausible ones are stored, flagged and answered.
#[tokio::test]
async fn a_stop_before_its_start_is_stored_and_flagged() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T14:00:00Z").await;
    station.call("StopTransaction", stop(id, 100)).await;
    let stopped = service.transaction(id).await;
    assert_eq!((stopped.status.as_str(), stopped.energy_wh), ("completed", Some(100)));
    assert_eq!(
        service.messages("CP1").await[0].violations,
        ["timestamp: is before the transaction's start"]
    );
    // Values that come in after the stop are of the transaction still.
    let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [
        {"timestamp": "2026-03-01T12:30:00Z", "sampledValue": [{"value": "50"}]}]});
    station.call("MeterValues", values).await;
    assert_eq!(service.meter_values(id).await.len(), 1);
}

/// Rule 7: whoever stops a transaction is told what their token is worth, and stops it whatever that is.
#[tokio::test]
async fn a_stop_is_applied_whatever_its_token_is_worth() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let blocked = CreateIdTokenRequest {
        id_token: "BLOCKED".to_owned(),
        blocked: true,
        ..Default::default()
    };
    let member = CreateIdTokenRequest {
        id_token: "MEMBER".to_owned(),
        group_id: Some("FLEET".to_owned()),
        ..Default::default()
    };
    service.register_tokens([blocked, member]).await;
    for (tag, info) in [
        ("member", json!({"parentIdTag": "FLEET", "status": "Accepted"})),
        ("BLOCKED", json!({"status": "Blocked"})),
        ("STRANGER", json!({"status": "Invalid"})),
    ] {
        let id = station.start("MEMBER", 0, "2026-03-01T12:00:00Z").await;
        let mut stop = stop(id, 100);
        stop["idTag"] = json!(tag);
        assert_eq!(station.call("StopTransaction", stop).await, json!({"idTagInfo": info}));
        assert_eq!(service.transaction(id).await.status, "completed");
    }
}

/// Rule 8: defaults are written out, phases and signed data kept, units brought to their base, and null is not 0.
#[tokio::test]
async fn meter_values_are_kept_as_they_came_and_in_their_base_unit() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let readings = |time: &str| {
        json!([{"timestamp": format!("2026-03-01T{time}:00Z"), "sampledValue": [
            {"value": "1.5", "unit": "kWh"},
            {"value": "16", "measurand": "Current.Import", "phase": "L2", "unit": "A"},
            {"value": "a1b2", "format": "SignedData", "context": "Transaction.End"},
            {"value": null, "measurand": "SoC"},
            {"value": "7", "measurand": "Vendor.Thing", "unit": "furlong"}]}])
    };
    let values = json!({"connectorId": 1, "transactionId": id, "meterValue": readings("12:10")});
    station.call("MeterValues", values).await;
    let stop = json!({"transactionId": id, "meterStop": 1500, "timestamp": "2026-03-01T13:00:00Z",
        "transactionData": readings("13:00")});
    station.call("StopTransaction", stop).await;
    let values = service.meter_values(id).await;
    let shown: Vec<_> = values
        .iter()
        .map(|one| {
            json!([
                one.value,
                one.measurand,
                one.unit,
                one.format,
                one.phase,
                one.normalized_value
            ])
        })
        .collect();
    let each = [
        json!(["1.5", "Energy.Active.Import.Register", "kWh", "Raw", null, "1500"]),
        json!(["16", "Current.Import", "A", "Raw", "L2", "16"]),
        json!(["a1b2", "Energy.Active.Import.Register", "Wh", "SignedData", null, null]),
        json!(["7", "Vendor.Thing", "furlong", "Raw", null, null]),
    ];
    assert_eq!(shown, [each.clone(), each].concat());
    assert_eq!(service.transaction(id).await.energy_wh, Some(1500));
    let flagged = &service.messages("CP1").await[1].violations;
    assert!(
        flagged.iter().any(|flag| flag.contains("sampledValue[3].value")),
        "{flagged:?}"
    );
}

/// Rule 10: commands are sent as asked.
#[tokio::test]
async fn a_command_for_a_connector_that_nobody_has_heard_of_reaches_the_charge_point() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let unlock = json!({"connectorId": 99});
    let command = service
        .exchange(
            &mut station,
            "UnlockConnector",
            unlock,
            json!({"status": "NotSupported"}),
        )
        .await;
    assert_eq!(command.response.as_deref(), Some(r#"{"status":"NotSupported"}"#));
}

/// Rule 16.
#[tokio::test]
async fn a_data_transfer_of_a_vendor_that_nobody_registered_is_of_an_unknown_vendor() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let transfer = json!({"vendorId": "com.example", "messageId": "hello", "data": "{\"a\": 1}"});
    assert_eq!(
        station.call("DataTransfer", transfer).await,
        json!({"status": "UnknownVendorId"})
    );
    assert!(service.messages("CP1").await[0].request.contains("com.example"));
}
