//! What charge points say all the time is kept many at once, and each of them notices nothing of the others.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testbed::Database;
use tokio::time::sleep;

use crate::repetitions::{IN_TRANSIT, waiting};
use crate::service::{Service, eventually};
use crate::station::Station;

const STATIONS: usize = 12;

fn identity(number: usize) -> String {
    format!("CP{number}")
}

/// Charge points that have booted, each with a running transaction.
async fn stations(service: &Service) -> Vec<(Station, i64)> {
    service.register_token("TAG").await;
    let mut stations = Vec::new();
    for number in 0..STATIONS {
        let password = service.register(&identity(number)).await;
        let mut station = Station::connect(service, &identity(number), &password).await;
        station.boot().await;
        let transaction = station.start("TAG", 1000, "2026-03-01T12:00:00Z").await;
        stations.push((station, transaction));
    }
    stations
}

fn status(connector: usize, status: &str) -> Value {
    json!({"connectorId": connector, "status": status, "errorCode": "NoError", "timestamp": "2026-03-01T12:00:00Z"})
}

fn values(transaction: i64, register: usize) -> Value {
    let sample = json!({"timestamp": "2026-03-01T12:05:00Z", "sampledValue": [{"value": register.to_string()}]});
    json!({"connectorId": 1, "transactionId": transaction, "meterValue": [sample]})
}

#[tokio::test]
async fn what_many_say_at_once_is_kept_of_each_with_its_message() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut stations = stations(&service).await;
    let say = stations
        .iter_mut()
        .enumerate()
        .map(async |(number, (station, transaction))| {
            for round in 0..5 {
                station.call("Heartbeat", json!({})).await;
                station
                    .call(
                        "StatusNotification",
                        status(number + 1, ["Charging", "Faulted"][round % 2]),
                    )
                    .await;
                station
                    .call("MeterValues", values(*transaction, 1000 + 10 * number))
                    .await;
            }
        });
    join_all(say).await;
    let (messages, transactions): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT xmin::text) FROM ocpp.message
         WHERE action IN ('Heartbeat', 'StatusNotification', 'MeterValues')",
    )
    .fetch_one(&service.pool)
    .await
    .unwrap();
    assert!(
        transactions < messages,
        "{messages} messages, each in a transaction of its own"
    );
    for (number, (_, transaction)) in stations.iter().enumerate() {
        let messages = service.messages(&identity(number)).await;
        for action in ["Heartbeat", "StatusNotification", "MeterValues"] {
            let of_action = messages
                .iter()
                .filter(|message| message.action.as_deref() == Some(action));
            assert_eq!(of_action.count(), 5, "{number}: {messages:?}");
        }
        let said_again = messages
            .iter()
            .filter(|message| message.violations == ["meterValue: 1 of 1 values were there already"]);
        assert_eq!(said_again.count(), 4, "{number}: {messages:?}");
        assert_eq!(service.meter_values(*transaction).await.len(), 1);
        let energy = service.transaction(*transaction).await.energy_wh;
        assert_eq!(energy, Some(i32::try_from(10 * number).unwrap()));
        let states: Vec<String> = sqlx::query_scalar(
            "SELECT status FROM ocpp.connector JOIN ocpp.charge_point ON id = charge_point_id
             WHERE identity = $1 AND connector_id = $2",
        )
        .bind(identity(number))
        .bind(i32::try_from(number + 1).unwrap())
        .fetch_all(&service.pool)
        .await
        .unwrap();
        assert_eq!(states, ["Charging"], "{number}");
    }
    service.stop().await;
}

#[tokio::test]
async fn one_that_the_database_refuses_costs_the_others_nothing() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut stations = stations(&service).await;
    sqlx::raw_sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON ocpp.connector_status FOR EACH ROW WHEN (NEW.status = 'Faulted')
             EXECUTE FUNCTION refuse()",
    )
    .execute(&service.pool)
    .await
    .unwrap();
    // While this is locked, the first few wait to be kept, and the others gather behind them.
    let mut lock = service.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM ocpp.session FOR UPDATE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let (mut refused, _) = stations.pop().unwrap();
    let others = stations
        .iter_mut()
        .map(async |(station, _)| station.ask("StatusNotification", status(1, "Charging")).await);
    let one_of_them = async {
        eventually("the first are held up", async || waiting(&service).await > 0).await;
        sleep(IN_TRANSIT).await;
        let refusal = async {
            sleep(IN_TRANSIT).await;
            lock.rollback().await.unwrap();
        };
        let (answer, ()) = tokio::join!(refused.ask("StatusNotification", status(1, "Faulted")), refusal);
        answer
    };
    let (answers, refusal) = tokio::join!(join_all(others), one_of_them);
    assert_eq!(refusal[2], "InternalError", "{refusal}");
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer[0], json!(3), "{number}: {answer}");
        let messages = service.messages(&identity(number)).await;
        let told = messages
            .iter()
            .filter(|message| message.action.as_deref() == Some("StatusNotification"));
        assert_eq!(told.count(), 1, "{number}: {messages:?}");
    }
    let states: i64 = sqlx::query_scalar("SELECT count(*) FROM ocpp.connector_status")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(usize::try_from(states).unwrap(), STATIONS - 1);
    service.stop().await;
}

#[tokio::test]
async fn one_whose_rows_somebody_holds_does_not_hold_up_the_others() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut stations = stations(&service).await;
    let mut lock = service.pool.begin().await.unwrap();
    sqlx::query(
        "SELECT FROM ocpp.session JOIN ocpp.charge_point ON id = charge_point_id WHERE identity = $1 FOR UPDATE OF session",
    )
    .bind(identity(STATIONS - 1))
    .execute(&mut *lock)
    .await
    .unwrap();
    let (mut held, _) = stations.pop().unwrap();
    let wait = held.call("Heartbeat", json!({}));
    let others = async {
        eventually("it is held up", async || waiting(&service).await > 0).await;
        for round in 0..3 {
            let say = stations.iter_mut().map(async |(station, transaction)| {
                station.call("Heartbeat", json!({})).await;
                station
                    .call("StatusNotification", status(1, ["Charging", "SuspendedEV"][round % 2]))
                    .await;
                station.call("MeterValues", values(*transaction, 1010 + round)).await;
            });
            join_all(say).await;
        }
        lock.rollback().await.unwrap();
    };
    // They are all answered before the row is let go of, or the wait for an answer would end the test.
    let (_, ()) = tokio::join!(wait, others);
    let kept = service.messages(&identity(STATIONS - 1)).await;
    let heartbeats = kept
        .iter()
        .filter(|message| message.action.as_deref() == Some("Heartbeat"));
    assert_eq!(heartbeats.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn values_of_anothers_transaction_are_kept_for_reconciliation_and_cost_the_others_nothing() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut stations = stations(&service).await;
    let anothers = stations[0].1;
    let say = stations.iter_mut().enumerate().map(async |(number, (station, own))| {
        let transaction = if number == 1 { anothers } else { *own };
        station.call("MeterValues", values(transaction, 1500)).await;
    });
    join_all(say).await;
    assert_eq!(service.unmatched().await.len(), 1);
    for (number, (_, transaction)) in stations.iter().enumerate() {
        let values = service.meter_values(*transaction).await.len();
        assert_eq!(values, usize::from(number != 1), "{number}");
    }
    service.stop().await;
}
