//! Transactions that a charge point means without their numbers (rule 4 of the OCPP decisions).

use serde_json::{Value, json};
use testbed::Database;

use crate::service::Service;
use crate::state::connected;
use crate::station::Station;

/// Rule 4: -1 and 0 are joined by connector and time where that is unambiguous.
#[tokio::test]
async fn a_transaction_without_its_number_is_known_by_connector_and_time() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let first = station.start("TAG", 100, "2026-03-01T12:00:00Z").await;
    station
        .call(
            "StopTransaction",
            json!({"transactionId": first, "meterStop": 200, "timestamp": "2026-03-01T12:30:00Z"}),
        )
        .await;
    let second = station.start("TAG", 200, "2026-03-01T13:00:00Z").await;
    let values = |id: i64, connector: i32, time: &str, value: &str| {
        json!({"connectorId": connector, "transactionId": id, "meterValue": [
            {"timestamp": format!("2026-03-01T{time}:00Z"), "sampledValue": [{"value": value}]}]})
    };
    // In the first, though it is over; in the second; and in none: between them, before them, elsewhere.
    station.call("MeterValues", values(-1, 1, "12:10", "150")).await;
    station.call("MeterValues", values(0, 1, "13:10", "250")).await;
    for (connector, time) in [(1, "12:40"), (1, "11:00"), (2, "13:10")] {
        station.call("MeterValues", values(-1, connector, time, "1")).await;
    }
    assert_eq!(service.meter_values(first).await[0].value, "150");
    assert_eq!(service.meter_values(second).await[0].value, "250");
    assert_eq!(service.unmatched().await.len(), 3);

    let stop = json!({"transactionId": -1, "idTag": "tag", "meterStop": 300, "timestamp": "2026-03-01T14:00:00Z"});
    for _ in 0..2 {
        let answer = station.call("StopTransaction", stop.clone()).await;
        assert_eq!(answer, json!({"idTagInfo": {"status": "Accepted"}}));
    }
    let stopped = service.transaction(second).await;
    assert_eq!((stopped.status.as_str(), stopped.energy_wh), ("completed", Some(100)));
    assert_eq!(service.unmatched().await.len(), 3);
    assert_eq!(
        service.messages("CP1").await[1].violations,
        [format!(
            "transactionId: is -1, and was taken for {second} by connector and time"
        )]
    );
}

/// Rule 4: where it is ambiguous, an operator decides.
#[tokio::test]
async fn a_stop_without_its_number_that_could_end_two_transactions_ends_neither() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    service.register_token("OTHER").await;
    let start = |connector: i32, tag: &str, time: &str| json!({"connectorId": connector, "idTag": tag, "meterStart": 10, "timestamp": format!("2026-03-01T{time}:00Z")});
    // On connector 1 the first one lost its stop.
    for (connector, tag, time) in [(1, "TAG", "10:00"), (1, "TAG", "12:00"), (2, "TAG", "12:00")] {
        station.call("StartTransaction", start(connector, tag, time)).await;
    }
    let stop = |tag: Value, meter_stop: i64| json!({"transactionId": 0, "idTag": tag, "meterStop": meter_stop, "timestamp": "2026-03-01T13:00:00Z"});
    // Two can be meant, no start has the token, or no register stood so low.
    for stop in [
        stop(json!("TAG"), 100),
        stop(json!("OTHER"), 100),
        stop(json!("TAG"), 9),
    ] {
        station.call("StopTransaction", stop).await;
    }
    assert!(
        service
            .transactions_of("CP1")
            .await
            .iter()
            .all(|one| one.status == "active")
    );
    assert_eq!(service.unmatched().await.len(), 3);
    station.call("StartTransaction", start(3, "OTHER", "12:30")).await;
    station.call("StopTransaction", stop(json!("other"), 100)).await;
    assert_eq!(service.transactions_of("CP1").await[0].status, "completed");
}

/// Rule 4: two connectors that lost their power at once are two stops.
#[tokio::test]
async fn stops_without_their_numbers_that_differ_by_their_tokens_only_end_a_transaction_each() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("ONE").await;
    service.register_token("TWO").await;
    for (connector, tag) in [(1, "ONE"), (2, "TWO")] {
        let start =
            json!({"connectorId": connector, "idTag": tag, "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"});
        station.call("StartTransaction", start).await;
    }
    for tag in ["ONE", "TWO", "ONE"] {
        let stop = json!({"transactionId": -1, "idTag": tag, "meterStop": 0, "timestamp": "2026-03-01T13:00:00Z"});
        station.call("StopTransaction", stop).await;
    }
    let transactions = service.transactions_of("CP1").await;
    assert!(transactions.iter().all(|one| one.status == "completed"));
    assert!(service.unmatched().await.is_empty());
}

/// Rule 4: what looks like a repetition is none where it came under another message id and ends something.
#[tokio::test]
async fn stops_that_are_alike_to_the_second_and_the_watt_hour_end_a_transaction_each() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let mut ids = Vec::new();
    for connector in [1, 2] {
        let start =
            json!({"connectorId": connector, "idTag": "TAG", "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"});
        ids.push(station.call("StartTransaction", start).await["transactionId"].clone());
    }
    // Only the first start was answered, and then the power went.
    for id in [&ids[0], &json!(-1)] {
        let stop = json!({"transactionId": id, "meterStop": 500, "timestamp": "2026-03-01T13:00:00Z"});
        station.call("StopTransaction", stop).await;
    }
    let transactions = service.transactions_of("CP1").await;
    assert!(
        transactions.iter().all(|one| one.energy_wh == Some(500)),
        "{transactions:?}"
    );
    assert!(service.unmatched().await.is_empty());
}

/// Rule 4.
#[tokio::test]
async fn a_stop_without_its_number_that_comes_again_ends_nothing_else() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    service.register_token("TAG").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    let start = |connector: i32| json!({"connectorId": connector, "idTag": "TAG", "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"});
    station.call("StartTransaction", start(1)).await;
    let stop = json!([2, "stop", "StopTransaction",
        {"transactionId": -1, "meterStop": 500, "timestamp": "2026-03-01T13:00:00Z"}]);
    station.send(&stop.to_string()).await;
    station.frame().await;
    let other = station.call("StartTransaction", start(2)).await["transactionId"]
        .as_i64()
        .unwrap();
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.send(&stop.to_string()).await;
    assert_eq!(station.frame().await, json!([3, "stop", {}]));
    assert_eq!(service.transaction(other).await.status, "active");
}

/// Rule 4: what is kept already is flagged still, or what comes again after months would go by unseen.
#[tokio::test]
async fn a_stray_that_comes_again_is_kept_once_and_flagged_each_time() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let stop = json!({"transactionId": 4711, "meterStop": 1, "timestamp": "1970-01-01T00:00:09Z"});
    for _ in 0..2 {
        station.call("StopTransaction", stop.clone()).await;
    }
    assert_eq!(service.unmatched().await.len(), 1);
    let messages = service.messages("CP1").await;
    let flagged = |place: usize, end: &str| messages[place].violations.iter().any(|flag| flag.ends_with(end));
    assert!(flagged(1, "kept for reconciliation"), "{messages:?}");
    assert!(flagged(0, "where the same is there already"), "{messages:?}");
}
