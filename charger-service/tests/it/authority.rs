//! Another authority that is asked about tokens.

use std::time::{Duration, Instant};

use charger_service::{Asked, Fallback, Settings};
use serde_json::{Value, json};
use testbed::Database;
use voltgate_proto::ocpp::v1::CreateIdTokenRequest;

use crate::service::{Service, settings};
use crate::sink::Sink;
use crate::station::{Station, exchange};

async fn asking(database: &Database, sink: &Sink, more: impl FnOnce(&mut Settings)) -> Service {
    let mut settings = Settings {
        charger_authorization_url: Some(sink.url.clone()),
        charger_authorization_token: Some("a-token-of-theirs".to_owned()),
        charger_authorization_timeout_seconds: 20,
        ..settings()
    };
    more(&mut settings);
    Service::start_with(database, settings).await
}

async fn connected(service: &Service) -> (Station, String) {
    let password = service.register("CP1").await;
    (Station::connect(service, "CP1", &password).await, password)
}

async fn authorize(station: &mut Station, tag: &str) -> Value {
    station.call("Authorize", json!({ "idTag": tag })).await["idTagInfo"].clone()
}

/// Rule 7.
#[tokio::test]
async fn an_authority_decides_on_tokens_that_nobody_has_registered() {
    let database = Database::create().await;
    let answer = r#"{"status":"Accepted","expiresAt":"2091-02-03T04:05:06Z","groupId":"ROAMING"}"#;
    let sink = Sink::start(answer).await;
    let service = asking(&database, &sink, |_| {}).await;
    let (mut station, _) = connected(&service).await;
    service.register_token("OURS").await;
    assert_eq!(authorize(&mut station, "OURS").await, json!({"status": "Accepted"}));
    assert!(sink.seen().is_empty());

    let info = json!({"expiryDate": "2091-02-03T04:05:06Z", "parentIdTag": "ROAMING", "status": "Accepted"});
    assert_eq!(authorize(&mut station, "THEIRS").await, info);
    let start = json!({"connectorId": 2, "idTag": "THEIRS", "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"});
    let started = station.call("StartTransaction", start).await;
    assert_eq!(started["idTagInfo"], info);
    let id = started["transactionId"].as_i64().unwrap();
    assert_eq!(service.transaction(id).await.status, "active");
    sink.answers(200, r#"{"status":"Blocked"}"#);
    let stop = json!({"transactionId": id, "idTag": "THEIRS", "meterStop": 1, "timestamp": "2026-03-01T13:00:00Z"});
    let stopped = station.call("StopTransaction", stop).await;
    assert_eq!(stopped["idTagInfo"], json!({"status": "Blocked"}));

    let seen = sink.seen();
    let asked: Vec<_> = seen.iter().map(crate::sink::Seen::json).collect();
    assert_eq!(
        asked,
        [
            json!({"idToken": "THEIRS", "identity": "CP1", "purpose": "authorize"}),
            json!({"idToken": "THEIRS", "identity": "CP1", "connectorId": 2, "purpose": "start"}),
            json!({"idToken": "THEIRS", "identity": "CP1", "purpose": "stop"}),
        ]
    );
    assert_eq!(seen[0].path, "/hook");
    assert_eq!(seen[0].header("authorization"), "Bearer a-token-of-theirs");
    assert_eq!(seen[0].header("content-type"), "application/json");
}

/// Rule 7: it is asked only about what would be accepted here, and both have to accept it.
#[tokio::test]
async fn an_authority_that_is_always_asked_can_refuse_what_is_registered_and_not_let_in_what_is_blocked() {
    let database = Database::create().await;
    let sink = Sink::start(r#"{"status":"Blocked"}"#).await;
    let service = asking(&database, &sink, |settings| {
        settings.charger_authorization_asked = Asked::Always
    })
    .await;
    let (mut station, _) = connected(&service).await;
    service.register_token("OURS").await;
    let blocked = CreateIdTokenRequest {
        id_token: "STOLEN".to_owned(),
        blocked: true,
        ..Default::default()
    };
    service.register_tokens([blocked]).await;
    assert_eq!(authorize(&mut station, "OURS").await["status"], "Blocked");
    sink.answers(200, r#"{"status":"Accepted"}"#);
    assert_eq!(authorize(&mut station, "OURS").await["status"], "Accepted");
    assert_eq!(authorize(&mut station, "STOLEN").await["status"], "Blocked");
    assert_eq!(sink.seen().len(), 2);
}

#[tokio::test]
async fn an_authority_that_is_slow_gone_or_broken_is_replaced_by_what_a_setting_says() {
    for (fallback, unknown) in [
        (Fallback::Local, "Invalid"),
        (Fallback::Reject, "Invalid"),
        (Fallback::Accept, "Accepted"),
    ] {
        let database = Database::create().await;
        let sink = Sink::start_held("{}").await;
        let service = asking(&database, &sink, |settings| {
            settings.charger_authorization_fallback = fallback;
            settings.charger_authorization_timeout_seconds = 1;
            settings.charger_authorization_asked = Asked::Always;
        })
        .await;
        let (mut station, _) = connected(&service).await;
        service.register_token("OURS").await;
        let began = Instant::now();
        assert_eq!(authorize(&mut station, "SLOW").await["status"], unknown);
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        sink.release(100);
        for (status, body) in [
            (500, r#"{"status":"Accepted"}"#),
            (302, r#"{"status":"Accepted"}"#),
            (200, r#"{"status":"Fine"}"#),
            (200, "no JSON"),
        ] {
            sink.answers(status, body);
            assert_eq!(
                authorize(&mut station, "BROKEN").await["status"],
                unknown,
                "{status} {body}"
            );
        }
        drop(sink);
        let ours = if fallback == Fallback::Reject {
            "Invalid"
        } else {
            "Accepted"
        };
        assert_eq!(authorize(&mut station, "OURS").await["status"], ours);
    }
}

#[tokio::test]
async fn while_an_authority_is_asked_commands_go_out_and_are_answered() {
    let database = Database::create().await;
    let sink = Sink::start_held(r#"{"status":"Accepted"}"#).await;
    let service = asking(&database, &sink, |_| {}).await;
    let (mut station, _) = connected(&service).await;
    station.send(r#"[2,"a","Authorize",{"idTag":"THEIRS"}]"#).await;
    sink.has_been_called(1).await;
    // A station that does not wait for its answers: this one comes after the Authorize.
    station.send(r#"[2,"h","Heartbeat",{}]"#).await;
    for _ in 0..2 {
        let command = service.command("CP1", "ClearCache", json!({}), 10);
        let (id, action, _) = station.called().await;
        assert_eq!(action, "ClearCache");
        station.answer(&id, json!({"status": "Accepted"})).await;
        assert_eq!(command.await.unwrap().unwrap().status, "accepted");
    }
    // The gateway still holds the CALL, and with it everything that came after.
    assert_eq!(station.acknowledged, 0);
    sink.release(1);
    let answer = station.frame().await;
    assert_eq!(
        (&answer[1], &answer[2]["idTagInfo"]["status"]),
        (&json!("a"), &json!("Accepted"))
    );
    assert_eq!(station.acknowledged, 1);
    assert_eq!(station.frame().await[1], "h");
    assert_eq!(station.acknowledged, station.sent());
}

#[tokio::test]
async fn while_an_authority_is_asked_nothing_in_the_database_waits() {
    let database = Database::create().await;
    let sink = Sink::start_held(r#"{"status":"Accepted"}"#).await;
    let service = asking(&database, &sink, |_| {}).await;
    let mut stations = Vec::new();
    // More than there are connections.
    for number in 0..12 {
        let identity = format!("CP{number}");
        let password = service.register(&identity).await;
        let mut station = Station::connect(&service, &identity, &password).await;
        station
            .send(r#"[2,"s","StartTransaction",{"connectorId":1,"idTag":"THEIRS","meterStart":0,"timestamp":"2026-03-01T12:00:00Z"}]"#)
            .await;
        stations.push(station);
    }
    sink.has_been_called(12).await;
    assert!(service.transactions_of("CP0").await.is_empty());
    sink.release(12);
    for station in &mut stations {
        assert_eq!(station.frame().await[2]["idTagInfo"]["status"], "Accepted");
    }
}

#[tokio::test]
async fn a_start_about_which_an_authority_is_asked_survives_a_broken_stream() {
    let database = Database::create().await;
    let sink = Sink::start_held(r#"{"status":"Accepted"}"#).await;
    let service = asking(&database, &sink, |_| {}).await;
    let (mut station, _) = connected(&service).await;
    let start = r#"[2,"s","StartTransaction",{"connectorId":1,"idTag":"THEIRS","meterStart":0,"timestamp":"2026-03-01T12:00:00Z"}]"#;
    station.send(start).await;
    sink.has_been_called(1).await;
    let mut old = station.resume(&service).await.unwrap();
    old.ended().await;
    station.send_again(1, start).await;
    sink.has_been_called(2).await;
    sink.release(2);
    let answer = station.frame().await;
    assert_eq!(answer[2]["idTagInfo"]["status"], "Accepted");
    assert_eq!(station.acknowledged, 1);
    assert_eq!(service.transactions_of("CP1").await.len(), 1);
}

/// Rule 1: facts about transactions are accepted from either connection.
#[tokio::test]
async fn a_start_about_which_an_authority_is_asked_counts_though_a_newer_connection_takes_over() {
    let database = Database::create().await;
    let sink = Sink::start_held(r#"{"status":"Accepted"}"#).await;
    let service = asking(&database, &sink, |_| {}).await;
    let (mut old, password) = connected(&service).await;
    let start = r#"[2,"s","StartTransaction",{"connectorId":1,"idTag":"THEIRS","meterStart":0,"timestamp":"2026-03-01T12:00:00Z"}]"#;
    old.send(start).await;
    sink.has_been_called(1).await;
    let mut new = Station::connect(&service, "CP1", &password).await;
    new.call("Heartbeat", json!({})).await;
    assert_eq!(old.closed().await.unwrap().code, 1008);
    sink.release(1);
    let id = old.frame().await[2]["transactionId"].as_i64().unwrap();
    assert_eq!(service.transaction(id).await.status, "active");
}

/// Rule 4: a stop is never lost, and what others say of its token changes nothing about it.
#[tokio::test]
async fn facts_are_stored_though_an_authority_never_answers_and_a_newer_connection_has_taken_over() {
    let database = Database::create().await;
    let sink = Sink::start_held(r#"{"status":"Accepted"}"#).await;
    let service = asking(&database, &sink, |settings| {
        settings.charger_authorization_timeout_seconds = 30
    })
    .await;
    service.register_token("TAG").await;
    let (mut old, password) = connected(&service).await;
    let running = json!({"connectorId": 1, "idTag": "TAG", "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"});
    let running = old.call("StartTransaction", running).await["transactionId"].clone();
    let stop = json!([2, "stop", "StopTransaction",
        {"transactionId": running, "idTag": "THEIRS", "meterStop": 9, "timestamp": "2026-03-01T13:00:00Z"}]);
    old.send(&stop.to_string()).await;
    sink.has_been_called(1).await;
    // These come after it, on a connection that dies.
    old.send(r#"[2,"start","StartTransaction",{"connectorId":2,"idTag":"THEIRS","meterStart":0,"timestamp":"2026-03-01T13:00:00Z"}]"#)
        .await;
    old.send(r#"[2,"again","StartTransaction",{"connectorId":3,"idTag":"THEIRS","meterStart":0,"timestamp":"2026-03-01T13:00:00Z"}]"#)
        .await;
    let mut new = Station::connect(&service, "CP1", &password).await;
    new.call("Heartbeat", json!({})).await;
    assert_eq!(old.closed().await.unwrap().code, 1008);
    let stopped = old.frame().await;
    assert_eq!(stopped[1], "stop");
    assert_eq!(
        service.transaction(running.as_i64().unwrap()).await.meter_stop_wh,
        Some(9)
    );
    for id in ["start", "again"] {
        let started = old.frame().await;
        assert_eq!(started[1], id);
        let kept = service.transaction(started[2]["transactionId"].as_i64().unwrap()).await;
        assert_eq!(kept.status, "refused", "nobody knows the token here");
    }
}

#[tokio::test]
async fn an_authority_is_asked_about_a_frame_without_a_socket_too() {
    let database = Database::create().await;
    let sink = Sink::start(r#"{"status":"Accepted"}"#).await;
    let service = asking(&database, &sink, |_| {}).await;
    let password = service.register("CP1").await;
    let frame = r#"[2,"a","Authorize",{"idTag":"THEIRS"}]"#;
    let answer = exchange(&service, "CP1", &password, frame).await.unwrap().unwrap();
    assert_eq!(answer, r#"[3,"a",{"idTagInfo":{"status":"Accepted"}}]"#);
}
