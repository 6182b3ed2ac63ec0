//! How much, and how long.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::system::{PATIENCE, System, show, token};

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let system = System::start().await;
    let body = |size: usize| format!(r#"{{"username": "{}"}}"#, "x".repeat(size));
    let signup = |size| {
        system
            .post("/auth/signup")
            .header("content-type", "application/json")
            .body(body(size))
    };
    assert_snapshot!(show(signup(64 * 1024).send().await.unwrap()).await);
    assert_eq!(signup(60 * 1024).send().await.unwrap().status(), 201);

    let command = |size| {
        system
            .post("/ocpp/charge-points/CP-1/commands/Any")
            .bearer_auth(token(&["operator"]))
            .header("content-type", "application/json")
            .body(body(size))
    };
    assert_eq!(command(1000 * 1024).send().await.unwrap().status(), 201);
    assert_eq!(command(1024 * 1024).send().await.unwrap().status(), 413);
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let system = System::start().await;
    let response = system
        .get("/livez")
        .header("x-large", "x".repeat(40 * 1024))
        .send()
        .await;
    assert!(response.map_or(true, |response| response.status() == 431));
}

#[tokio::test]
async fn a_service_that_takes_too_long_is_a_504() {
    let system = System::start_with(&["--gateway-request-timeout=1"]).await;
    let request = system.post("/auth/signup").json(&json!({"username": "slow"}));
    assert_snapshot!(show(request.send().await.unwrap()).await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_nothing_or_half_a_preface_is_dropped() {
    let system = System::start().await;
    for first in ["", "PRI * HTTP/2.0\r\n", "GET /livez HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(system.address).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let end = timeout(Duration::from_secs(60), stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "{first:?} is still connected");
    }
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let system = System::start_with(&["--gateway-max-connections=1"]).await;
    let first = TcpStream::connect(system.address).await.unwrap();
    let waiting = tokio::spawn(system.get("/livez").send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    drop(first);
    assert_eq!(
        timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap().status(),
        200
    );
}
