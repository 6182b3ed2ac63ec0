//! One frame by POST (row "HTTP binding" of the decisions on framing).

use http::StatusCode;
use yawc::Frame;

use crate::peers::Seen;
use crate::station::Station;
use crate::system::System;

const ON: &str = "--gateway-http-binding=true";
const HEARTBEAT: &str = r#"[2,"1","Heartbeat",{}]"#;

#[tokio::test]
async fn a_frame_by_post_is_answered_with_a_frame() {
    let mut system = System::start_with(&[ON]).await;
    let request = system
        .post("/ocpp/CP%201%2Fa")
        .basic_auth("CP 1/a", Some("a:b"))
        .header("ocpp-version", "1.6");
    let response = request.body(HEARTBEAT).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.text().await.unwrap(), format!("heard: {HEARTBEAT}"));
    let metadata = system.peers.metadata().await;
    assert_eq!(metadata.get("voltgate-subprotocols").unwrap(), "ocpp1.6");
    assert_eq!(
        metadata.get("voltgate-authorization").unwrap(),
        "Basic Q1AgMS9hOmE6Yg=="
    );
    assert!(metadata.get("voltgate-peer").is_some());
    match system.peers.next().await {
        Seen::Frame(0, text) => assert_eq!(text, format!("CP 1/a {HEARTBEAT}")),
        other => panic!("{other:?}"),
    }
    let quiet = system
        .post("/ocpp/CP-1?version=1.6")
        .body("keep quiet")
        .send()
        .await
        .unwrap();
    assert_eq!(quiet.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn credentials_and_origins_are_judged_as_at_the_door() {
    let system = System::start_with(&[ON]).await;
    let locked = system.post("/ocpp/locked").body(HEARTBEAT).send().await.unwrap();
    assert_eq!(locked.status(), StatusCode::UNAUTHORIZED);
    assert!(
        locked.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Basic")
    );
    let unknown = system.post("/ocpp/unknown").body(HEARTBEAT).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let foreign = system.post("/ocpp/CP-1").header("origin", "https://elsewhere.example");
    assert_eq!(
        foreign.body(HEARTBEAT).send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    let no_text = system.post("/ocpp/CP-1").body(vec![0xff]).send().await.unwrap();
    assert_eq!(no_text.status(), StatusCode::BAD_REQUEST);
    let nothing = system.post("/ocpp/CP-1").send().await.unwrap();
    assert_eq!(nothing.status(), StatusCode::BAD_REQUEST);
    let large = system
        .post("/ocpp/CP-1")
        .body("x".repeat(1024 * 1024 + 1))
        .send()
        .await
        .unwrap();
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn it_is_off_unless_it_is_switched_on_and_documented_where_it_is_on() {
    let (off, on) = (System::start().await, System::start_with(&[ON]).await);
    let refused = off.post("/ocpp/CP-1").body(HEARTBEAT).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    for (system, documented) in [(&off, false), (&on, true)] {
        let options = system.options("/ocpp/CP-1").send().await.unwrap();
        let allow = options.headers()["allow"].to_str().unwrap().to_owned();
        assert_eq!(allow.contains("POST"), documented, "{allow}");
        let document: serde_json::Value = system.get("/openapi.json").send().await.unwrap().json().await.unwrap();
        assert_eq!(document["paths"]["/ocpp/{identity}"]["post"].is_object(), documented);
    }
    // What is no door is what it was.
    let nothing = on.post("/ocpp/commands/x").body(HEARTBEAT).send().await.unwrap();
    assert_eq!(nothing.status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// Row "message size".
#[tokio::test]
async fn the_largest_message_can_be_set() {
    let system = System::start_with(&["--gateway-largest-message=2048"]).await;
    let mut station = Station::connect(&system, "/ocpp/CP-1").await;
    station.say(&"x".repeat(2048)).await;
    station.hear().await;
    station.try_send(Frame::text("x".repeat(2049))).await.unwrap();
    assert_eq!(station.closed().await.0, 1009);
}
