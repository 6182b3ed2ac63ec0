//! What somebody who is not logged in finds out about auth-service: where its keys are, and whether it is well.

use e2e::all_in_one::Voltgate;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_verifies_tokens_finds_the_keys_by_the_issuer() {
    let issuer = "https://voltgate.example.com";
    let voltgate = Voltgate::start_with(&[("AUTH_ISSUER", issuer)]).await;
    let api = voltgate.api();
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        let document = api.get(path).await;
        assert_eq!(document.header("content-type"), "application/json");
        let document = document.expect(200);
        assert_eq!(document["issuer"], issuer);
        let keys = document["jwks_uri"].as_str().unwrap();
        let keys = keys.strip_prefix(issuer).expect("they are where the issuer is");
        let keys = api.get(keys).await.expect(200);
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_issuer_that_is_an_https_url_there_is_no_discovery_and_anybody_sees_whether_the_service_is_well() {
    let voltgate = Voltgate::start().await;
    let api = voltgate.api();
    let document = api.get("/.well-known/openid-configuration").await;
    document.problem(404, "NOT_FOUND");

    let health = api.get("/auth/health").await;
    assert_eq!(health.header("cache-control"), "no-store");
    let part = |name| json!({ "name": name, "status": "ok" });
    let well = json!({ "status": "ok", "parts": [part("database"), part("events")] });
    assert_eq!(health.expect(200), well);
}
