//! The gateway's beginning and its end.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::system::{self, System};

#[tokio::test]
async fn a_port_in_use_names_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let refused = system::build(address, &[&format!("--gateway-listen={address}")])
        .await
        .err()
        .unwrap();
    assert!(refused.to_string().starts_with("GATEWAY_LISTEN: "), "{refused}");
}

#[tokio::test]
async fn a_service_without_an_address_names_its_setting() {
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let flags = ["--gateway-upstreams=auth=http://127.0.0.1:1,ocpp=http://127.0.0.1:1"];
    let refused = system::build(nowhere, &flags).await.err().unwrap();
    assert_eq!(
        refused.to_string(),
        "GATEWAY_UPSTREAMS: has no address for `email`, which the protos name"
    );
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_gateway_stops() {
    let mut system = System::start_with(&["--gateway-request-timeout=1"]).await;
    let waiting = tokio::spawn(system.post("/auth/signup").json(&json!({"username": "slow"})).send());
    system.peers.metadata().await;
    let started = Instant::now();
    system.shut_down().await;
    assert_eq!(waiting.await.unwrap().unwrap().status(), 504);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(system.get("/livez").send().await.is_err());
}

#[tokio::test]
async fn while_it_waits_to_stop_it_is_not_ready_and_still_serves() {
    let mut system = System::start_with(&["--gateway-shutdown-pause=1"]).await;
    system.stop.cancel();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(system.get("/readyz").send().await.unwrap().status(), 503);
    assert_eq!(system.get("/livez").send().await.unwrap().status(), 200);
    system.shut_down().await;
}
