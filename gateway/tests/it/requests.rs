//! What a client may ask for, and what it gets.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;

use crate::system::{System, show, token};

#[tokio::test]
async fn json_goes_in_and_json_comes_out() {
    let system = System::start().await;
    let request = system
        .post("/auth/signup")
        .json(&json!({"username": "ada", "password": "p", "email": "a@b.example"}));
    assert_snapshot!(show(request.send().await.unwrap()).await);
}

#[tokio::test]
async fn absent_fields_are_left_out_and_empty_ones_are_not() {
    let system = System::start().await;
    let request = system.get("/auth/profile").bearer_auth(token(&["driver"]));
    assert_snapshot!(show(request.send().await.unwrap()).await);
}

#[tokio::test]
async fn parameters_come_from_path_and_query_under_either_name() {
    let system = System::start().await;
    for query in ["pageSize=7&pageToken=a%2Bb", "page_size=7&page_token=a%2Bb"] {
        let path = format!("/ocpp/charge-points/D%C3%A9p%C3%B4t%2F1/commands?{query}");
        let answer = system
            .get(&path)
            .bearer_auth(token(&["operator"]))
            .send()
            .await
            .unwrap();
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body, json!({"commands": [], "nextPageToken": "Dépôt/1 7 a+b"}));
    }
}

#[tokio::test]
async fn a_raw_body_keeps_every_digit_both_ways() {
    let system = System::start().await;
    let payload = r#"{"b": 12.0, "a": 1.10, "big": 123456789012345678901234567890}"#;
    let request = system
        .post("/ocpp/charge-points/CP-1/commands/Any?waitSeconds=9")
        .bearer_auth(token(&["operator"]))
        .header("content-type", "application/json")
        .body(payload);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 201);
    let body = response.text().await.unwrap();
    assert!(body.contains(&format!(r#""payload":{payload}"#)), "{body}");
    assert!(body.contains(r#""response":{"waited": 9.0}"#), "{body}");
}

#[tokio::test]
async fn an_http_body_comes_out_with_its_own_media_type() {
    let system = System::start().await;
    let response = system.get("/.well-known/jwks.json").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/jwk-set+json");
    assert_eq!(
        response.json::<serde_json::Value>().await.unwrap()["keys"][0]["kid"],
        "test"
    );
}

#[tokio::test]
async fn services_get_the_headers_meant_for_them_and_no_others() {
    let mut system = System::start().await;
    let request = system
        .post("/auth/signup")
        .header("idempotency-key", "once")
        .header("if-match", "\"7-gzip\"")
        .header("voltgate-peer", "1.2.3.4")
        .header("x-forwarded-for", "1.2.3.4")
        .header("grpc-timeout", "1n")
        .header("evil-bin", "AAAA")
        .header("cookie", "a=b")
        .json(&json!({"username": "ada"}));
    assert_eq!(request.send().await.unwrap().status(), 201);
    let metadata = system.peers.metadata().await.into_headers();
    assert_eq!(metadata["idempotency-key"], "once");
    assert_eq!(metadata["if-match"], "\"7\"");
    assert_eq!(metadata["x-request-id"], "the-test");
    assert_ne!(metadata["grpc-timeout"], "1n");
    for name in ["voltgate-peer", "x-forwarded-for", "evil-bin", "cookie"] {
        assert!(!metadata.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_request_without_an_id_is_given_one() {
    let system = System::start().await;
    let answer = system
        .http
        .get(system.url("/livez"))
        .header("x-request-id", "two words")
        .send()
        .await
        .unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap();
    assert!(uuid::Uuid::parse_str(id).is_ok(), "{id}");
}

#[tokio::test]
async fn http2_without_tls_is_spoken_on_the_same_port() {
    let system = System::start().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let answer = client.get(system.url("/livez")).send().await.unwrap();
    assert_eq!(
        (answer.version(), answer.status().as_u16()),
        (reqwest::Version::HTTP_2, 200)
    );
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let system = System::start().await;
    let http2 = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let bearer = format!("Bearer {}", token(&["admin", "driver"]));
    for path in [
        "/livez",
        "/readyz",
        "/health",
        "/openapi.json",
        "/docs/",
        "/docs/swagger-initializer.js",
        "/docs/nothing.js",
        "/nothing",
        "/auth/signup",
        "/auth/profile",
        "/auth/profile?nope=1",
        "/.well-known/jwks.json",
        "/ocpp/charge-points/CP-1/commands",
        "/ocpp/commands/018f",
        "/ocpp/CP-1",
    ] {
        for client in [&system.http, &http2] {
            let ask = |method| {
                let request = client
                    .request(method, system.url(path))
                    .header("x-request-id", "the-test");
                request.header("authorization", &bearer).send()
            };
            let (get, head) = (ask(Method::GET).await.unwrap(), ask(Method::HEAD).await.unwrap());
            assert_eq!(head.status(), get.status(), "{path}");
            let headers = |answer: &reqwest::Response| {
                let mut headers = answer.headers().clone();
                headers.remove("date");
                headers
            };
            assert_eq!(headers(&head), headers(&get), "{path}");
            assert!(head.headers().contains_key("content-length"), "{path}");
            assert_eq!(head.bytes().await.unwrap().len(), 0, "{path}");
        }
    }
}
