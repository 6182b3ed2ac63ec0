//! Whether a charge point is there.

use testbed::Database;

use crate::service::{Service, eventually};
use crate::station::Station;

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
