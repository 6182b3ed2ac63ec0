//! Which connection of a charge point is the present one.

use serde_json::json;
use testbed::Database;

use crate::service::{Service, eventually};
use crate::station::{Received, Station};

#[tokio::test]
async fn a_newer_connection_takes_over_and_the_older_one_is_closed() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut old = Station::connect(&service, "CP1", &password).await;
    old.boot().await;
    let mut new = Station::connect(&service, "CP1", &password).await;
    assert_eq!(old.closed().await.unwrap().code, 1008);
    assert!(matches!(old.receive().await, Received::End));
    // The end of the old one does not touch the new.
    drop(old);
    new.call("Heartbeat", json!({})).await;
    assert!(service.charge_point("CP1").await.online);
}

#[tokio::test]
async fn a_newer_connection_at_another_replica_takes_over_too() {
    let database = Database::create().await;
    let (first, second) = (Service::start(&database).await, Service::start(&database).await);
    let password = first.register("CP1").await;
    let mut old = Station::connect(&first, "CP1", &password).await;
    old.boot().await;
    let mut new = Station::connect(&second, "CP1", &password).await;
    assert_eq!(old.closed().await.unwrap().code, 1008);
    new.call("Heartbeat", json!({})).await;
    assert!(first.charge_point("CP1").await.online);
}

#[tokio::test]
async fn a_socket_that_breaks_shows_the_charge_point_as_gone() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    station.hang_up().await;
    eventually("it is offline", async || !service.charge_point("CP1").await.online).await;
    let station = Station::connect(&service, "CP1", &password).await;
    assert!(service.charge_point("CP1").await.online);
    // A gateway that dies says nothing at all.
    drop(station);
    eventually("it is offline again", async || {
        !service.charge_point("CP1").await.online
    })
    .await;
}
