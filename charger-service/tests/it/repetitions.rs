//! The same message once more on the same socket (row "message id" of the decisions on framing).

use serde_json::json;
use testbed::Database;

use crate::service::Service;
use crate::station::Station;

async fn connected(database: &Database) -> (Service, Station) {
    let service = Service::start(database).await;
    let password = service.register("CP1").await;
    service.register_token("TAG").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    (service, station)
}

/// Row "message id".
#[tokio::test]
async fn a_call_that_is_repeated_while_its_answer_is_due_is_answered_once() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    // While this is locked, nothing is answered.
    let mut lock = service.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM ocpp.session FOR UPDATE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let heartbeat = r#"[2,"h1","Heartbeat",{}]"#;
    for frame in [heartbeat, heartbeat, r#"[2,"h2","Heartbeat",{}]"#, heartbeat] {
        station.send(frame).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    lock.rollback().await.unwrap();
    assert_eq!(station.frame().await[1], "h1");
    assert_eq!(station.frame().await[1], "h2");
    // Its counter has started anew: this is another one.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    station.send(heartbeat).await;
    assert_eq!(station.frame().await[1], "h1");
    assert_eq!(station.acknowledged, station.sent());
    let kept = service.messages("CP1").await;
    let repeated = kept.iter().filter(|message| !message.violations.is_empty()).count();
    assert_eq!((kept.len(), repeated), (6, 2));
}

/// Row "message id".
#[tokio::test]
async fn a_transaction_message_that_comes_again_after_its_answer_is_answered_alike_and_counts_once() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let values = r#"[2,"m","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2026-03-01T12:10:00Z","sampledValue":[{"value":"150"}]}]}]"#;
    let start = r#"[2,"s","StartTransaction",{"connectorId":1,"idTag":"TAG","meterStart":100,"timestamp":"2026-03-01T12:00:00Z"}]"#;
    for frame in [values, start] {
        station.send(frame).await;
        let answer = station.frame().await;
        station.send(frame).await;
        assert_eq!(station.frame().await, answer);
    }
    let stored = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM ocpp.meter_value");
    assert_eq!(stored.fetch_one(&service.pool).await.unwrap(), 1);
    assert_eq!(service.transactions_of("CP1").await.len(), 1);

    // The same id with other content is another message.
    let other = values.replace("150", "151");
    station.send(&other).await;
    assert_eq!(station.frame().await, json!([3, "m", {}]));
    let stored = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM ocpp.meter_value");
    assert_eq!(stored.fetch_one(&service.pool).await.unwrap(), 2);
}

/// Row "mapping": our failure is InternalError, and the charge point will retry.
#[tokio::test]
async fn a_repetition_of_what_we_failed_to_store_is_tried_again() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let break_it = "ALTER TABLE ocpp.meter_value RENAME TO meter_value_away";
    sqlx::raw_sql(break_it).execute(&service.pool).await.unwrap();
    let values = r#"[2,"m","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2026-03-01T12:10:00Z","sampledValue":[{"value":"150"}]}]}]"#;
    station.send(values).await;
    assert_eq!(station.frame().await[2], "InternalError");
    let mend = "ALTER TABLE ocpp.meter_value_away RENAME TO meter_value";
    sqlx::raw_sql(mend).execute(&service.pool).await.unwrap();
    station.send(values).await;
    assert_eq!(station.frame().await, json!([3, "m", {}]));
}

/// Row "message id": up to 36 characters.
#[tokio::test]
async fn a_message_id_has_up_to_36_characters() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let id = "é".repeat(36);
    station.send(&json!([2, id, "Heartbeat", {}]).to_string()).await;
    assert_eq!(station.frame().await[1], json!(id));
    station
        .send(&json!([2, format!("{id}x"), "Heartbeat", {}]).to_string())
        .await;
    station.call("Heartbeat", json!({})).await;
    assert_eq!(service.messages("CP1").await[1].action, None);
}

/// Row "one CALL at a time": what a charge point has queued while it was offline comes in as fast as it likes.
#[tokio::test]
async fn an_offline_queue_is_drained_in_its_order_and_fast() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let began = std::time::Instant::now();
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    for batch in 0..25 {
        for number in batch * 20..batch * 20 + 20 {
            let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [{
                "timestamp": format!("2026-03-01T12:{:02}:{:02}Z", number / 60, number % 60),
                "sampledValue": [{"value": number.to_string()}]}]});
            station
                .send(&json!([2, format!("q{number}"), "MeterValues", values]).to_string())
                .await;
        }
        for number in batch * 20..batch * 20 + 20 {
            assert_eq!(station.frame().await[1], json!(format!("q{number}")));
        }
    }
    assert_eq!(service.transaction(id).await.energy_wh, Some(499));
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(30), "{took:?} for 500 messages");
}
