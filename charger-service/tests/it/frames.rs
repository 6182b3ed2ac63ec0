//! Frames that are not as they should be: each gets its own clear answer, and the socket stays open.

use serde_json::json;
use testbed::Database;

use crate::service::{Service, eventually};
use crate::station::Station;

async fn connected(database: &Database) -> (Service, Station) {
    let service = Service::start(database).await;
    let password = service.register("CP1").await;
    let station = Station::connect(&service, "CP1", &password).await;
    (service, station)
}

/// Row "malformed" of the OCPP decisions on framing.
#[tokio::test]
async fn what_is_no_message_is_kept_and_not_answered_and_the_socket_stays_open() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    for frame in [
        "hello",
        "{\"a\":1}",
        "[]",
        "[2]",
        "[9,\"x\",{}]",
        "[2,\"\",\"Heartbeat\",{}]",
        "a\0b",
        "",
    ] {
        station.send(frame).await;
    }
    station.call("Heartbeat", json!({})).await;
    let messages = service.messages("CP1").await;
    assert_eq!(messages.len(), 9);
    let kept: Vec<_> = messages[1..]
        .iter()
        .rev()
        .map(|message| message.request.as_str())
        .collect();
    assert_eq!(
        kept,
        [
            "hello",
            "{\"a\":1}",
            "[]",
            "[2]",
            "[9,\"x\",{}]",
            "[2,\"\",\"Heartbeat\",{}]",
            "a\u{fffd}b",
            ""
        ]
    );
    for message in &messages[1..] {
        assert_eq!((message.action.as_ref(), message.response.as_ref()), (None, None));
        assert_eq!(message.violations.len(), 1, "{message:?}");
    }
}

/// Row "mapping" of the OCPP decisions on framing.
#[tokio::test]
async fn a_call_that_can_be_told_to_be_one_is_refused_with_the_code_that_it_deserves() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    assert_eq!(station.refused("FooBar", json!({})).await, "NotImplemented");
    assert_eq!(station.refused("heartbeat", json!({})).await, "NotImplemented");
    assert_eq!(
        station.refused("RemoteStartTransaction", json!({"idTag": "A"})).await,
        "NotSupported"
    );
    assert_eq!(station.refused("Reset", json!({})).await, "NotSupported");
    assert_eq!(station.refused("Heartbeat", json!([1])).await, "FormatViolation");
    assert_eq!(
        station.refused("Authorize", json!({})).await,
        "OccurenceConstraintViolation"
    );
    assert_eq!(
        station.refused("Authorize", json!({"idTag": 7})).await,
        "TypeConstraintViolation"
    );
    assert_eq!(
        station.refused("Authorize", json!({"idTag": "x".repeat(21)})).await,
        "PropertyConstraintViolation"
    );
    let status = json!({"connectorId": 1, "status": "Dancing", "errorCode": "NoError"});
    assert_eq!(
        station.refused("StatusNotification", status).await,
        "PropertyConstraintViolation"
    );

    let newest = &service.messages("CP1").await[0];
    assert_eq!(newest.error_code.as_deref(), Some("PropertyConstraintViolation"));
    assert!(newest.violations[0].starts_with("$.status "), "{:?}", newest.violations);
    assert!(newest.response.as_deref().unwrap().starts_with("[4,"));
    assert!(service.charge_point("CP1").await.connectors.is_empty());
}

#[tokio::test]
async fn an_over_long_tag_is_taken_where_money_depends_on_it_and_flagged() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let tag = "x".repeat(21);
    let id = station.start(&tag, 0, "2026-03-01T12:00:00Z").await;
    let transaction = service.transaction(id).await;
    assert_eq!(
        (transaction.id_token.as_str(), transaction.status.as_str()),
        (tag.as_str(), "refused")
    );
    let newest = &service.messages("CP1").await[0];
    assert_eq!(newest.error_code, None);
    assert!(newest.violations[0].starts_with("$.idTag "), "{:?}", newest.violations);
}

#[tokio::test]
async fn a_tag_of_any_length_finds_its_place() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    // Hard to compress, so that it is more than an index takes.
    let tag: String = (0..400).map(|_| uuid::Uuid::now_v7().to_string()).collect();
    let id = station.start(&tag, 0, "2026-03-01T12:00:00Z").await;
    assert_eq!(station.start(&tag, 0, "2026-03-01T12:00:00Z").await, id);
    assert_eq!(service.transaction(id).await.id_token.len(), tag.len());
}

#[tokio::test]
async fn a_start_that_nobody_could_be_charged_for_is_refused() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let start = json!({"connectorId": 1, "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"});
    assert_eq!(
        station.refused("StartTransaction", start).await,
        "OccurenceConstraintViolation"
    );
    assert!(service.transactions_of("CP1").await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_absent_and_never_a_zero() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    station.boot().await;
    let start = json!({"connectorId": 1, "idTag": "TAG", "meterStart": null, "timestamp": "yesterday"});
    let id = station.call("StartTransaction", start.clone()).await["transactionId"]
        .as_i64()
        .unwrap();
    assert_eq!(
        station.call("StartTransaction", start).await["transactionId"],
        json!(id),
        "a repetition is one still"
    );
    let stop = json!({"transactionId": id, "meterStop": "many", "timestamp": 12});
    station.call("StopTransaction", stop).await;
    let transaction = service.transaction(id).await;
    assert_eq!(
        (
            transaction.meter_start_wh,
            transaction.meter_stop_wh,
            transaction.energy_wh
        ),
        (None, None, None)
    );
    assert_eq!((transaction.started_at, transaction.stopped_at), (None, None));
    assert!(transaction.stop_received_at.is_some());
    assert_eq!(service.messages("CP1").await[0].violations.len(), 2);
}

#[tokio::test]
async fn an_answer_to_nothing_is_kept_and_ignored() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    station.send(r#"[3,"never-sent",{"status":"Accepted"}]"#).await;
    station.send(r#"[4,"never-sent","GenericError","",{}]"#).await;
    station.call("Heartbeat", json!({})).await;
    eventually("both are kept", async || service.messages("CP1").await.len() == 3).await;
    let kept = &service.messages("CP1").await[1];
    assert_eq!(
        (kept.message_id.as_deref(), kept.action.as_ref()),
        (Some("never-sent"), None)
    );
    assert_eq!(kept.violations, ["answers no CALL that is outstanding"]);
}

/// Row "one CALL at a time" of the OCPP decisions on framing.
#[tokio::test]
async fn calls_that_come_all_at_once_are_answered_in_their_order() {
    let database = Database::create().await;
    let (_service, mut station) = connected(&database).await;
    for number in 0..20 {
        station
            .send(&json!([2, format!("m{number}"), "Heartbeat", {}]).to_string())
            .await;
    }
    for number in 0..20 {
        assert_eq!(station.frame().await[1], json!(format!("m{number}")));
    }
}

#[tokio::test]
async fn vendors_and_firmware_get_the_answers_that_the_specification_asks_for() {
    let database = Database::create().await;
    let (_service, mut station) = connected(&database).await;
    let transfer = json!({"vendorId": "com.example", "data": "x"});
    assert_eq!(
        station.call("DataTransfer", transfer).await,
        json!({"status": "UnknownVendorId"})
    );
    assert_eq!(
        station
            .call("FirmwareStatusNotification", json!({"status": "Installed"}))
            .await,
        json!({})
    );
    assert_eq!(
        station
            .call("DiagnosticsStatusNotification", json!({"status": "Idle"}))
            .await,
        json!({})
    );
    // 1.6 may write an empty payload as null.
    station.send(r#"[2,"n","Heartbeat",null]"#).await;
    assert_eq!(station.frame().await[0], json!(3));
}

#[tokio::test]
async fn a_nul_in_a_text_does_not_upset_the_database() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    station
        .send(r#"[2,"nul","BootNotification",{"chargePointVendor":"V\u0000","chargePointModel":"M"}]"#)
        .await;
    assert_eq!(station.frame().await[0], json!(3));
    assert_eq!(service.charge_point("CP1").await.vendor.as_deref(), Some("V\u{fffd}"));
}
