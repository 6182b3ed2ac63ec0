//! What pages of other origins may do, and what a path takes.

use reqwest::{Method, Response};

use crate::system::System;

const LISTED: &str = "https://console.example";

async fn listing(origins: &str) -> System {
    System::start_with(&[&format!("--gateway-allowed-origins={origins}")]).await
}

async fn options(system: &System, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = system.http.request(Method::OPTIONS, system.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

fn says_nothing_of_cors(response: &Response) -> bool {
    !response
        .headers()
        .keys()
        .any(|name| name.as_str().starts_with("access-control-"))
}

#[tokio::test]
async fn every_path_tells_what_it_takes() {
    let system = System::start().await;
    for (path, allow) in [
        ("/auth/signup", "POST, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/docs/", "GET, HEAD, OPTIONS"),
    ] {
        let response = options(&system, path, &[]).await;
        assert_eq!(
            (response.status().as_u16(), header(&response, "allow")),
            (204, Some(allow)),
            "{path}"
        );
        assert_eq!(header(&response, "content-length"), None, "{path}");
        assert!(says_nothing_of_cors(&response));
    }
    let door = options(&system, "/ocpp/CP-1", &[]).await;
    assert!(header(&door, "allow").unwrap().starts_with("GET"));
    assert_eq!(options(&system, "/nothing", &[]).await.status(), 404);
}

#[tokio::test]
async fn a_preflight_of_a_listed_page_is_told_what_it_may_do() {
    let system = listing(&format!("https://other.example, {LISTED}")).await;
    let preflight = [
        ("origin", LISTED),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let response = options(&system, "/auth/signup", &preflight).await;
    assert_eq!(response.status(), 204);
    assert_eq!(header(&response, "access-control-allow-origin"), Some(LISTED));
    assert_eq!(header(&response, "access-control-allow-methods"), Some("POST, OPTIONS"));
    let allowed = header(&response, "access-control-allow-headers").unwrap();
    assert!(
        allowed.contains("authorization") && allowed.contains("if-match"),
        "{allowed}"
    );
    assert_eq!(header(&response, "access-control-max-age"), Some("7200"));
    assert_eq!(header(&response, "access-control-allow-credentials"), None);
    assert_eq!(header(&response, "vary"), Some("origin"));

    let nowhere = options(&system, "/nothing", &preflight).await;
    assert_eq!(
        (
            nowhere.status().as_u16(),
            header(&nowhere, "access-control-allow-methods")
        ),
        (404, None)
    );
}

#[tokio::test]
async fn a_listed_page_may_read_answers_and_errors() {
    let system = listing(LISTED).await;
    for (path, status) in [("/livez", 200), ("/auth/profile", 401), ("/nothing", 404)] {
        let response = system.get(path).header("origin", LISTED).send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(header(&response, "access-control-allow-origin"), Some(LISTED), "{path}");
        assert!(
            header(&response, "access-control-expose-headers")
                .unwrap()
                .contains("etag")
        );
        assert_eq!(header(&response, "vary"), Some("origin"));
    }
}

#[tokio::test]
async fn a_page_that_is_not_listed_is_told_nothing() {
    let system = listing(LISTED).await;
    for origin in ["https://evil.example", "null", "https://console.example.evil.example"] {
        let preflight = [("origin", origin), ("access-control-request-method", "POST")];
        let response = options(&system, "/auth/signup", &preflight).await;
        assert!(says_nothing_of_cors(&response), "{origin}");
        assert_eq!(header(&response, "vary"), Some("origin"));
        let response = system.get("/livez").header("origin", origin).send().await.unwrap();
        assert!(says_nothing_of_cors(&response), "{origin}");
    }
    // Without a list there is nothing that an origin could change.
    let system = System::start().await;
    let response = system.get("/livez").header("origin", LISTED).send().await.unwrap();
    assert!(says_nothing_of_cors(&response) && header(&response, "vary").is_none());
}

#[tokio::test]
async fn where_every_page_is_allowed_none_may_use_what_the_browser_remembers() {
    let system = listing("*").await;
    let response = system
        .get("/livez")
        .header("origin", "https://any.example")
        .send()
        .await
        .unwrap();
    assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
    assert_eq!(header(&response, "access-control-allow-credentials"), None);
}
