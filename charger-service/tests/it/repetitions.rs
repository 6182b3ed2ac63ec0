//! The same message once more on the same socket (row "message id" of the decisions on framing).

use std::time::Duration;

use serde_json::{Value, json};
use testbed::Database;
use tokio::time::sleep;

use crate::service::{Service, eventually};
use crate::station::{Station, exchange};

/// More than enough for a frame that has been sent to be there.
pub const IN_TRANSIT: Duration = Duration::from_millis(200);

/// Statements that wait for a lock.
pub async fn waiting(service: &Service) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .fetch_one(&service.pool)
    .await
    .unwrap()
}

async fn stored_values(service: &Service) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM ocpp.meter_value")
        .fetch_one(&service.pool)
        .await
        .unwrap()
}

async fn connected(database: &Database) -> (Service, Station) {
    let (service, station, _) = registered(database).await;
    (service, station)
}

/// With its password.
async fn registered(database: &Database) -> (Service, Station, String) {
    let service = Service::start(database).await;
    let password = service.register("CP1").await;
    service.register_token("TAG").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    (service, station, password)
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
    // The first one is being dealt with; the others are right behind it.
    eventually("the heartbeat waits", async || waiting(&service).await > 0).await;
    sleep(IN_TRANSIT).await;
    lock.rollback().await.unwrap();
    assert_eq!(station.frame().await[1], "h1");
    assert_eq!(station.frame().await[1], "h2");
    // Its counter has started anew: this is another one.
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

/// Row "message id", and rule 2: a refusal holds only until the gate is open.
#[tokio::test]
async fn a_start_that_was_refused_while_pending_is_heard_once_the_charge_point_is_accepted() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register_as("CP1", "Pending").await;
    service.register_token("TAG").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let start = r#"[2,"s","StartTransaction",{"connectorId":1,"idTag":"TAG","meterStart":100,"timestamp":"2026-03-01T12:00:00Z"}]"#;
    station.send(start).await;
    assert_eq!(station.frame().await[2], "SecurityError");
    let accept = "UPDATE ocpp.charge_point SET registration_status = 'Accepted'";
    sqlx::raw_sql(accept).execute(&service.pool).await.unwrap();
    assert_eq!(station.boot().await["status"], "Accepted");
    station.send(start).await;
    let answer = station.frame().await;
    assert!(answer[2]["transactionId"].as_i64().unwrap() > 0, "{answer}");
    // From then on it is the same start.
    station.send(start).await;
    assert_eq!(station.frame().await, answer);
}

fn values(transaction: Option<i64>, times: &[&str]) -> Value {
    let readings: Vec<_> = times
        .iter()
        .map(|time| {
            json!({"timestamp": format!("2026-03-01T{time}:00Z"), "sampledValue": [{"value": "150"}, {"value": "7", "measurand": "Power.Active.Import", "unit": "W"}]})
        })
        .collect();
    let mut values = json!({"connectorId": 1, "meterValue": readings});
    if let Some(transaction) = transaction {
        values["transactionId"] = json!(transaction);
    }
    values
}

/// Rule 4, and row "message id": the answer got lost with the connection.
#[tokio::test]
async fn meter_values_that_come_again_on_another_connection_are_stored_once() {
    let database = Database::create().await;
    let (service, mut station, password) = registered(&database).await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    for (transaction, expected) in [(Some(id), 4), (None, 8)] {
        let told = values(transaction, &["12:10", "12:20"]);
        station.call("MeterValues", told.clone()).await;
        assert_eq!(stored_values(&service).await, expected);
        // Under whatever message id; posted too.
        station = Station::connect(&service, "CP1", &password).await;
        station.call("Heartbeat", json!({})).await;
        assert_eq!(station.call("MeterValues", told.clone()).await, json!({}));
        let frame = json!([2, "posted", "MeterValues", told]).to_string();
        let answer = exchange(&service, "CP1", &password, &frame).await.unwrap();
        assert_eq!(answer.as_deref(), Some(r#"[3,"posted",{}]"#));
        assert_eq!(stored_values(&service).await, expected);
        assert_eq!(
            service.messages("CP1").await[0].violations,
            ["meterValue: 4 of 4 values were there already"]
        );
    }
    // What is new in what comes again is new.
    station.call("MeterValues", values(Some(id), &["12:20", "12:30"])).await;
    assert_eq!(stored_values(&service).await, 10);
}

/// Rules 1 and 4: the dying connection and the new one say the same at the same moment.
#[tokio::test]
async fn meter_values_that_two_connections_bring_at_once_are_stored_once() {
    let database = Database::create().await;
    let (service, mut old, password) = registered(&database).await;
    let other = Service::start(&database).await;
    let id = old.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let mut new = Station::connect(&other, "CP1", &password).await;
    new.call("Heartbeat", json!({})).await;
    assert_eq!(old.closed().await.unwrap().code, 1008);
    for (minute, transaction) in (10..30).zip([Some(id), None].into_iter().cycle()) {
        let frame = json!([
            2,
            format!("m{minute}"),
            "MeterValues",
            values(transaction, &[&format!("12:{minute}")])
        ]);
        let frame = frame.to_string();
        tokio::join!(old.send(&frame), new.send(&frame));
        tokio::join!(old.frame(), new.frame());
    }
    assert_eq!(stored_values(&service).await, 40);
}

/// A repetition must not take the register back.
#[tokio::test]
async fn a_value_of_a_wrong_clock_that_comes_again_does_not_take_the_register_back() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let id = station.start("TAG", 0, "1970-01-01T00:00:00Z").await;
    for (second, value) in [(10, "100"), (20, "200"), (10, "100")] {
        let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [
            {"timestamp": format!("1970-01-01T00:00:{second}Z"), "sampledValue": [{"value": value}]}]});
        station.call("MeterValues", values).await;
    }
    assert_eq!(service.transaction(id).await.energy_wh, Some(200));
}
