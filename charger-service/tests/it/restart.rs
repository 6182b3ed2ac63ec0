//! What outlives the process.

use std::time::Duration;

use serde_json::json;
use testbed::Database;

use crate::service::{Service, eventually};
use crate::station::Station;

#[tokio::test]
async fn a_restart_in_the_middle_of_a_charge_loses_nothing() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    service.register_token("TAG").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let id = station.start("TAG", 100, "2026-03-01T12:00:00Z").await;
    let stopping = tokio::spawn(service.stop());
    station.left().await;
    stopping.await.unwrap();

    let service = Service::start(&database).await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    // Accepted before, so it need not boot again; and its answer got lost, so it asks again.
    assert_eq!(station.start("TAG", 100, "2026-03-01T12:00:00Z").await, id);
    let stop = json!({"transactionId": id, "meterStop": 600, "timestamp": "2026-03-01T13:00:00Z"});
    station.call("StopTransaction", stop).await;
    assert_eq!(service.transaction(id).await.energy_wh, Some(500));
    assert_eq!(service.messages("CP1").await.len(), 4);
}

#[tokio::test]
async fn nobody_is_shown_online_for_ever_after_a_kill() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let sent = service
        .command("CP1", "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap();
    station.called().await;
    service.kill();

    let service = Service::start(&database).await;
    // The lease of the dead process has to run out.
    tokio::time::sleep(Duration::from_secs(12)).await;
    eventually("it is offline", async || !service.charge_point("CP1").await.online).await;
    eventually("its command is over", async || {
        service.get_command(&sent.id).await.status == "timeout"
    })
    .await;
    let command = service.get_command(&sent.id).await;
    assert!(command.error_description.unwrap().contains("the connection ended"));
}

#[tokio::test]
async fn a_charge_point_that_comes_back_after_a_kill_is_online_at_once() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let sent = service
        .command("CP1", "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap();
    station.called().await;
    service.kill();

    let service = Service::start(&database).await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.call("Heartbeat", json!({})).await;
    assert!(service.charge_point("CP1").await.online);
    assert_eq!(service.get_command(&sent.id).await.status, "timeout");
}

#[tokio::test]
async fn a_command_that_is_out_when_the_service_restarts_is_answered_after_it() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let sent = service
        .command("CP1", "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap();
    let queued = service
        .command("CP1", "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap();
    let (id, ..) = station.called().await;
    let stopping = tokio::spawn(service.stop());
    station.left().await;
    stopping.await.unwrap();

    let service = Service::start(&database).await;
    assert_eq!(service.get_command(&sent.id).await.status, "sent");
    station.resume(&service).await.unwrap();
    station.answer(&id, json!({"status": "Accepted"})).await;
    // The slot is free, so the next one comes.
    let (id, ..) = station.called().await;
    assert_eq!(id, queued.id);
    assert_eq!(service.get_command(&sent.id).await.status, "accepted");
    assert!(service.charge_point("CP1").await.online);
}
