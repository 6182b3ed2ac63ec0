//! The few paths that are the gateway's own.

use crate::system::System;

#[tokio::test]
async fn the_documentation_is_in_the_binary() {
    let system = System::start().await;
    let page = system.get("/docs").send().await.unwrap();
    assert_eq!((page.url().path(), page.status().as_u16()), ("/docs/", 200));
    assert!(page.text().await.unwrap().contains("swagger-ui"));
    let script = system.get("/docs/swagger-initializer.js").send().await.unwrap();
    assert!(script.text().await.unwrap().contains("/openapi.json"));
    let missing = system.get("/docs/nothing.js").send().await.unwrap();
    assert_eq!(
        (missing.status().as_u16(), &missing.headers()["content-type"]),
        (404, &"application/problem+json".parse().unwrap())
    );
}

#[tokio::test]
async fn the_openapi_document_is_served() {
    let system = System::start().await;
    let document: serde_json::Value = system.get("/openapi.json").send().await.unwrap().json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/auth/signup"]["post"].is_object());
}
