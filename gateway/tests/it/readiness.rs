//! What a load balancer is told.

use std::time::Duration;

use crate::system::System;

async fn said(system: &System) -> (u16, String) {
    let answer = system.get("/readyz").send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn it_says_which_services_are_missing_and_goes_on_without_them() {
    let mut system = System::start().await;
    // The test has no email-service, and little of charger-service.
    let word = "ready, without email (not serving), ocpp (not serving)\n";
    assert_eq!(said(&system).await, (200, word.to_owned()));
    system.peers.crash();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (code, word) = said(&system).await;
    assert_eq!(code, 200);
    assert!(
        word.contains("auth (unreachable)") && word.contains("ocpp (unreachable)"),
        "{word}"
    );
}

#[tokio::test]
async fn a_gateway_that_needs_a_service_is_not_ready_without_it() {
    let mut system = System::start_with(&["--gateway-ready-needs=auth"]).await;
    assert_eq!(said(&system).await.0, 200);
    system.peers.crash();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (code, word) = said(&system).await;
    assert_eq!(code, 503);
    assert!(word.starts_with("not ready, without auth (unreachable)"), "{word}");
    // Whoever calls it directly is served as far as that goes.
    assert_eq!(system.get("/livez").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_need_that_is_no_service_stops_the_start() {
    let peers = crate::peers::Peers::start().await;
    let error = crate::system::build(peers.address, &["--gateway-ready-needs=billing"]).await;
    let error = error.err().unwrap().to_string();
    assert!(error.starts_with("GATEWAY_READY_NEEDS: has `billing`"), "{error}");
}
