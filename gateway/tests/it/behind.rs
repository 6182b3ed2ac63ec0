//! What becomes of a request when the service behind it is not there.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;
use tokio::time::sleep;

use crate::system::{System, read, show};

#[tokio::test]
async fn a_service_that_is_gone_is_a_503_and_shows_in_health() {
    let mut system = System::start().await;
    let health = read(system.get("/health").send().await.unwrap()).await;
    // The test has no email-service.
    assert_eq!(health["body"]["services"]["auth"], "SERVING");
    assert_eq!(health["body"]["services"]["email"], "NOT_SERVING");
    assert_eq!(
        (health["status"].as_u64(), &health["body"]["status"]),
        (Some(503), &json!("NOT_SERVING"))
    );

    system.peers.crash();
    let request = system.post("/auth/signup").json(&json!({"username": "ada"}));
    assert_snapshot!("call_without_service", show(request.send().await.unwrap()).await);
    // A report is good for a second, however many ask for one.
    sleep(Duration::from_secs(1)).await;
    assert_snapshot!(
        "health_without_services",
        show(system.get("/health").send().await.unwrap()).await
    );
    assert_eq!(system.get("/livez").send().await.unwrap().status(), 200);
    assert_eq!(system.get("/readyz").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_service_that_dies_in_the_middle_of_a_call_is_a_503() {
    let mut system = System::start().await;
    let waiting = tokio::spawn(system.post("/auth/signup").json(&json!({"username": "slow"})).send());
    system.peers.metadata().await;
    system.peers.crash();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 503);
}
