//! A charge from plug to bill.

use serde_json::json;
use testbed::Database;

use crate::service::Service;
use crate::station::Station;

#[tokio::test]
async fn a_charge_can_be_followed_from_boot_to_bill() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    service.register_token("04A2B3C4").await;

    let mut station = Station::connect(&service, "CP1", &password).await;
    assert_eq!(station.subprotocol, "ocpp1.6");
    let boot = station
        .call(
            "BootNotification",
            json!({"chargePointVendor": "Volt", "chargePointModel": "One", "chargePointSerialNumber": "S-1",
                   "firmwareVersion": "1.2.3", "iccid": ""}),
        )
        .await;
    assert_eq!(boot["status"], "Accepted");
    assert_eq!(boot["interval"], 300);
    assert!(boot["currentTime"].as_str().unwrap().ends_with('Z'));
    assert!(station.call("Heartbeat", json!({})).await["currentTime"].is_string());
    let status = json!({"connectorId": 1, "status": "Preparing", "errorCode": "NoError"});
    assert_eq!(station.call("StatusNotification", status).await, json!({}));
    let authorized = station.call("Authorize", json!({"idTag": "04a2b3c4"})).await;
    assert_eq!(authorized, json!({"idTagInfo": {"status": "Accepted"}}));

    let transaction = station.start("04A2B3C4", 1000, "2026-03-01T12:00:00Z").await;
    assert!(transaction > 0);
    let values = json!({"connectorId": 1, "transactionId": transaction, "meterValue": [
        {"timestamp": "2026-03-01T12:05:00Z", "sampledValue": [
            {"value": "1.75", "unit": "kWh"},
            {"value": "11", "measurand": "Power.Active.Import", "unit": "kW", "phase": "L1"},
            {"value": "n/a", "measurand": "SoC", "unit": "Percent"}]}]});
    assert_eq!(station.call("MeterValues", values).await, json!({}));

    let running = service.transaction(transaction).await;
    assert_eq!((running.status.as_str(), running.energy_wh), ("active", Some(750)));
    assert_eq!(running.stopped_at, None);

    let stop = json!({"transactionId": transaction, "idTag": "04A2B3C4", "meterStop": 5500,
        "timestamp": "2026-03-01T13:00:00Z", "transactionData": [
            {"timestamp": "2026-03-01T13:00:00Z", "sampledValue": [{"value": "5500", "context": "Transaction.End"}]}]});
    let stopped = station.call("StopTransaction", stop).await;
    assert_eq!(stopped["idTagInfo"]["status"], "Accepted");

    let done = service.transaction(transaction).await;
    assert_eq!((done.status.as_str(), done.energy_wh), ("completed", Some(4500)));
    assert_eq!((done.meter_start_wh, done.meter_stop_wh), (Some(1000), Some(5500)));
    assert_eq!(done.stop_reason.as_deref(), Some("Local"));
    assert_eq!(
        (done.identity.as_str(), done.connector_id, done.id_token.as_str()),
        ("CP1", 1, "04A2B3C4")
    );

    let values = service.meter_values(transaction).await;
    let shown: Vec<_> = values
        .iter()
        .map(|value| {
            (
                value.value.as_str(),
                value.measurand.as_str(),
                value.normalized_value.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("1.75", "Energy.Active.Import.Register", Some("1750")),
            ("11", "Power.Active.Import", Some("11000")),
            ("n/a", "SoC", None),
            ("5500", "Energy.Active.Import.Register", Some("5500")),
        ]
    );
    assert_eq!(values[0].normalized_unit.as_deref(), Some("Wh"));
    assert_eq!(values[1].phase.as_deref(), Some("L1"));
    assert_eq!(values[3].context, "Transaction.End");

    let shown = service.charge_point("CP1").await;
    assert!(shown.online);
    assert_eq!(shown.protocol.as_deref(), Some("ocpp1.6"));
    assert_eq!(
        (shown.vendor.as_deref(), shown.serial_number.as_deref()),
        (Some("Volt"), Some("S-1"))
    );
    assert!(shown.last_boot_at.is_some() && shown.last_seen_at.is_some());
    assert_eq!(shown.connectors.len(), 1);
    assert_eq!(shown.connectors[0].status.as_deref(), Some("Preparing"));
    assert_eq!(shown.password, None);

    let messages = service.messages("CP1").await;
    let actions: Vec<_> = messages
        .iter()
        .rev()
        .map(|message| message.action.as_deref().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "BootNotification",
            "Heartbeat",
            "StatusNotification",
            "Authorize",
            "StartTransaction",
            "MeterValues",
            "StopTransaction"
        ]
    );
    assert!(messages[0].request.starts_with(r#"[2,"call-7","StopTransaction""#));
    assert!(
        messages[0]
            .response
            .as_deref()
            .unwrap()
            .starts_with(r#"[3,"call-7",{"idTagInfo""#)
    );
    assert_eq!(messages[0].origin, "station");
    assert!(messages.iter().all(|message| message.violations.is_empty()));
}

#[tokio::test]
async fn a_charge_without_an_end_keeps_its_last_register() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    service.register_token("TAG").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    let transaction = station.start("TAG", 100, "2026-03-01T12:00:00Z").await;
    assert_eq!(service.transaction(transaction).await.energy_wh, None);
    for (timestamp, value) in [("12:10", "300"), ("12:20", "500.9"), ("12:15", "400")] {
        let values = json!({"connectorId": 1, "transactionId": transaction, "meterValue": [
            {"timestamp": format!("2026-03-01T{timestamp}:00Z"), "sampledValue": [{"value": value}]}]});
        station.call("MeterValues", values).await;
    }
    // The latest by the station's clock, whatever came in last, and no more than has flowed.
    assert_eq!(service.transaction(transaction).await.energy_wh, Some(400));
}
