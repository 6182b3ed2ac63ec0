//! HEAD says what GET would say, less the body (RFC 9110, section 9.3.2): on every path, however the answer is encoded.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;

use crate::system::{REQUEST_ID, System, token};
use crate::watched::Watched;

const ENCODINGS: [&str; 4] = ["", "gzip", "br", "zstd"];

/// What an answer says besides its body. The length of a body that is made as it goes is not known beforehand.
async fn said(response: reqwest::Response) -> (u16, BTreeMap<String, String>, usize) {
    let status = response.status().as_u16();
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let headers = headers.filter(|(name, _)| !["date", "transfer-encoding"].contains(&name.as_str()));
    let headers = headers.collect();
    (status, headers, response.bytes().await.unwrap().len())
}

/// Asks for a path both ways, in each encoding and over each version of HTTP. Returns the status.
async fn compare(url: &str, path: &str, further: &[(&str, &str)]) -> u16 {
    let builder = || reqwest::Client::builder().no_proxy();
    let clients = [builder(), builder().http2_prior_knowledge()];
    let mut status = 0;
    for (version, client) in (1..).zip(clients.map(|client| client.build().unwrap())) {
        for encoding in ENCODINGS {
            let ask = async |method: Method| {
                let mut request = client
                    .request(method, format!("{url}{path}"))
                    .header("x-request-id", REQUEST_ID)
                    .header("accept-encoding", encoding)
                    .bearer_auth(token(&["admin", "operator", "driver"]));
                for (name, value) in further {
                    request = request.header(*name, *value);
                }
                said(request.send().await.unwrap()).await
            };
            let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
            let asked = format!("{path} by HTTP/{version} in `{encoding}`");
            assert_eq!((head.0, &head.1), (get.0, &get.1), "{asked}");
            assert_eq!(head.2, 0, "{asked}");
            let length = get.1.get("content-length");
            assert!(length.is_none_or(|length| *length == get.2.to_string()), "{asked}");
            status = get.0;
        }
    }
    status
}

#[tokio::test]
async fn head_is_get_without_a_body_on_every_path() {
    let system = System::start().await;
    let document: Value = system.get("/openapi.json").send().await.unwrap().json().await.unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let read = paths.filter(|(_, methods)| methods["get"].is_object());
    let mut successes = 0;
    for (path, _) in read {
        // The services of the test know a command of this name.
        let parts = path
            .split('/')
            .map(|part| if part.starts_with('{') { "large" } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        let status = compare(&system.url(""), &path, &[]).await;
        successes += u32::from(status == 200);
    }
    assert!(successes >= 8, "{successes}");
    for path in ["/docs/", "/docs/swagger-ui.css", "/docs/nothing", "/nothing"] {
        compare(&system.url(""), path, &[]).await;
    }
    for tag in ["\"7\"", "\"7-gzip\"", "*", "\"6\""] {
        let status = compare(&system.url(""), "/ocpp/commands/large", &[("if-none-match", tag)]).await;
        assert_eq!(status, if tag == "\"6\"" { 200 } else { 304 }, "{tag}");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body_for_streams_and_bytes() {
    let watched = Watched::start(&[]).await;
    for accept in ["text/event-stream", "application/x-ndjson", "*/*", "text/html"] {
        for path in [
            "/watch/three",
            "/watch/none",
            "/watch/refused",
            "/watch/fail-first",
            "/download/three",
            "/list/three",
            "/file/three",
        ] {
            compare(&watched.url(""), path, &[("accept", accept)]).await;
        }
    }
}
