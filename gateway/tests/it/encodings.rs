//! Compressed answers, and the tags that tell versions and encodings apart.

use reqwest::{RequestBuilder, Response};
use serde_json::json;

use crate::system::{System, token};

fn get(system: &System, id: &str) -> RequestBuilder {
    system
        .get(&format!("/ocpp/commands/{id}"))
        .bearer_auth(token(&["operator"]))
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_large_answer_is_compressed_for_those_who_can_read_that() {
    let system = System::start().await;
    let plain = get(&system, "large").send().await.unwrap();
    assert_eq!(
        (header(&plain, "content-encoding"), header(&plain, "etag")),
        (None, Some("\"7\""))
    );
    assert_eq!(header(&plain, "vary"), Some("accept-encoding"));
    let plain = plain.bytes().await.unwrap();
    for (accept, encoding, magic) in [
        ("gzip", "gzip", &[0x1f, 0x8b][..]),
        ("zstd, gzip;q=0.5", "zstd", &[0x28, 0xb5, 0x2f, 0xfd][..]),
        ("br", "br", &[][..]),
    ] {
        let request = get(&system, "large").header("accept-encoding", accept);
        let response = request.send().await.unwrap();
        assert_eq!(header(&response, "content-encoding"), Some(encoding));
        assert_eq!(header(&response, "vary"), Some("accept-encoding"));
        assert_eq!(header(&response, "etag"), Some(format!("\"7-{encoding}\"").as_str()));
        let body = response.bytes().await.unwrap();
        assert!(body.starts_with(magic) && body.len() < plain.len() / 2, "{encoding}");
    }
}

#[tokio::test]
async fn small_answers_and_those_with_tokens_stay_as_they_are() {
    let system = System::start().await;
    let small = get(&system, "small")
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (header(&small, "content-encoding"), header(&small, "etag")),
        (None, Some("\"7\""))
    );
    let signup = system
        .post("/auth/signup")
        .header("accept-encoding", "gzip")
        .json(&json!({"username": "a".repeat(10_000)}));
    let signup = signup.send().await.unwrap();
    assert_eq!(
        (signup.status().as_u16(), header(&signup, "content-encoding")),
        (201, None)
    );
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again() {
    let system = System::start().await;
    for (accept, held, told) in [
        ("identity", "\"7\"", "\"7\""),
        ("identity", "\"6\", W/\"7\"", "\"7\""),
        ("gzip", "\"7-gzip\"", "\"7-gzip\""),
        ("gzip", "*", "\"7-gzip\""),
    ] {
        let request = get(&system, "large").header("accept-encoding", accept);
        let response = request.header("if-none-match", held).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, "etag")),
            (304, Some(told)),
            "{held}"
        );
        assert_eq!(
            (header(&response, "content-type"), header(&response, "content-length")),
            (None, None)
        );
        assert!(response.bytes().await.unwrap().is_empty());
    }
    for other in ["\"6\"", "\"6-gzip\"", "7", "nonsense"] {
        let response = get(&system, "large")
            .header("if-none-match", other)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{other}");
    }
    let missing = get(&system, "other").header("if-none-match", "*").send().await.unwrap();
    assert_eq!(missing.status(), 404);
}
