//! What the services are told of the one who calls, and whom the gateway believes.

use http::HeaderMap;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tonic::Request;
use tonic::metadata::MetadataValue;
use yawc::Options;

use crate::echo::Echo;
use crate::peers::Seen;
use crate::station::Station;
use crate::system::System;

const TRUSTING: &str = "--gateway-trusted-proxies=127.0.0.0/8,192.0.2.7";

/// What the services are told of somebody who signs up with these headers.
async fn told(system: &mut System, headers: &[(&str, &str)]) -> HeaderMap {
    let mut request = system.post("/auth/signup").json(&json!({"username": "ada"}));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    assert_eq!(request.send().await.unwrap().status(), 201);
    system.peers.metadata().await.into_headers()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

/// The process that proves to be the one that tells.
fn reporter(headers: &HeaderMap) -> String {
    let token = text(headers, "voltgate-reporter")
        .unwrap()
        .strip_prefix("Bearer ")
        .unwrap();
    let key = DecodingKey::from_secret(b"a secret that exists for these tests only");
    let claims = jsonwebtoken::decode::<Value>(token, &key, &Validation::new(Algorithm::HS256)).unwrap();
    assert_eq!(claims.header.typ.as_deref(), Some("service+jwt"));
    claims.claims["iss"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_service_is_told_who_calls_and_by_whom_it_is_told() {
    let mut system = System::start().await;
    let headers = told(&mut system, &[("user-agent", "Browser/1.0 (X11)")]).await;
    assert_eq!(text(&headers, "voltgate-client-address"), Some("127.0.0.1"));
    assert_eq!(text(&headers, "voltgate-client-device"), Some("Browser/1.0 (X11)"));
    assert_eq!(reporter(&headers), "gateway");

    let again = told(&mut system, &[]).await;
    assert_eq!(
        again["voltgate-reporter"], headers["voltgate-reporter"],
        "it is signed once"
    );
    assert_eq!(text(&again, "voltgate-client-device"), None);
}

#[tokio::test]
async fn nobody_tells_a_service_who_they_are_themselves() {
    let mut system = System::start().await;
    let lies = [
        ("voltgate-client-address", "203.0.113.9"),
        ("voltgate-client-device", "Browser/1.0"),
        ("voltgate-reporter", "Bearer x"),
        ("voltgate-caller", "gateway"),
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
    ];
    let headers = told(&mut system, &lies).await;
    assert_eq!(text(&headers, "voltgate-client-address"), Some("127.0.0.1"));
    assert_eq!(text(&headers, "voltgate-client-device"), None);
    assert_eq!(reporter(&headers), "gateway");
    for name in ["voltgate-caller", "x-forwarded-for", "forwarded", "x-real-ip"] {
        assert_eq!(text(&headers, name), None, "{name}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_trusted_is_believed_as_far_as_it_knows() {
    let mut system = System::start_with(&[TRUSTING]).await;
    for (header, value, client) in [
        ("x-forwarded-for", "1.1.1.1, 203.0.113.9, 192.0.2.7", "203.0.113.9"),
        ("x-forwarded-for", "1.1.1.1, unknown, 192.0.2.7", "192.0.2.7"),
        ("forwarded", r#"for="[2001:db8::9]:4711";proto=https"#, "2001:db8::9"),
        ("forwarded", "for=", "127.0.0.1"),
        ("x-real-ip", "203.0.113.9", "127.0.0.1"),
    ] {
        let headers = told(&mut system, &[(header, value)]).await;
        assert_eq!(
            text(&headers, "voltgate-client-address"),
            Some(client),
            "{header}: {value}"
        );
        assert_eq!(text(&headers, header), None);
    }
}

#[tokio::test]
async fn with_grpc_it_is_the_same() {
    for (flags, client) in [(&[][..], "127.0.0.1"), (&[TRUSTING][..], "203.0.113.9")] {
        let mut echo = Echo::start_with(flags).await;
        let mut request = Request::new("hello".to_owned());
        for (name, value) in [
            ("x-forwarded-for", "203.0.113.9"),
            ("voltgate-client-address", "1.1.1.1"),
            ("voltgate-client-device", "a lie"),
            ("voltgate-reporter", "Bearer x"),
        ] {
            request.metadata_mut().insert(name, MetadataValue::from_static(value));
        }
        echo.unary("Say", request).await.unwrap();
        let headers = echo.seen().await.into_headers();
        assert_eq!(text(&headers, "voltgate-client-address"), Some(client));
        assert!(text(&headers, "voltgate-client-device").unwrap().starts_with("tonic/"));
        assert_eq!(reporter(&headers), "gateway");
        assert_eq!(text(&headers, "x-forwarded-for"), None);
    }
}

#[tokio::test]
async fn at_the_door_of_charge_points_it_is_the_same_and_when_a_session_goes_on() {
    let mut system = System::start_with(&[TRUSTING]).await;
    let headers = "Sec-WebSocket-Protocol: ocpp1.6\r\nX-Forwarded-For: 203.0.113.9\r\nUser-Agent: Wallbox/3\r\n\
         Voltgate-Peer: 1.1.1.1\r\n";
    let mut station = Station::connect_with(&system, "/ocpp/CP-1", headers, Options::default()).await;
    let Seen::Open(_, metadata) = system.peers.next().await else {
        panic!("the stream was not opened")
    };
    let headers = metadata.into_headers();
    assert_eq!(text(&headers, "voltgate-peer"), Some("203.0.113.9"));
    assert_eq!(text(&headers, "voltgate-client-address"), Some("203.0.113.9"));
    assert_eq!(text(&headers, "voltgate-client-device"), Some("Wallbox/3"));
    assert_eq!(reporter(&headers), "gateway");

    system.peers.crash();
    system.peers.come_back().await;
    station.say("hello").await;
    assert_eq!(station.hear().await, "heard: hello");
    let headers = system.peers.metadata().await.into_headers();
    assert_eq!(text(&headers, "voltgate-client-address"), Some("203.0.113.9"));
    assert_eq!(reporter(&headers), "gateway");
}

#[tokio::test]
async fn what_is_left_of_a_limit_is_told_with_a_success_and_with_a_refusal() {
    let system = System::start().await;
    let signup = async |username: &str| {
        let request = system.post("/auth/signup").json(&json!({"username": username}));
        request.send().await.unwrap()
    };
    let limit = r#""signup";r=0;t=30"#;
    for (username, status, wait) in [("limited", 201, None), ("refused", 503, Some("30"))] {
        let answer = signup(username).await;
        assert_eq!(answer.status(), status);
        let headers = answer.headers();
        assert_eq!(text(headers, "ratelimit"), Some(limit));
        assert_eq!(text(headers, "ratelimit-policy"), Some(r#""signup";q=5;w=60"#));
        assert_eq!(text(headers, "retry-after"), wait);
        assert_eq!(text(headers, "x-internal"), None);
    }
    assert_eq!(text(signup("ada").await.headers(), "ratelimit"), None);
}
