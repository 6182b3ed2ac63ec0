//! A signup, the mail that follows, and logging in.

use e2e::all_in_one::Voltgate;
use e2e::processes::welcomed_once;
use e2e::wait::until;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_signup_becomes_a_welcome_and_a_code_with_text_and_html() {
    let mut voltgate = Voltgate::start().await;
    let body = json!({ "username": "ada@example.com", "password": "correct horse battery" });
    let signed_up = voltgate.api().post("/auth/signup", &body).await;
    assert_eq!(signed_up.header("cache-control"), "no-store");
    let signed_up = signed_up.expect(201);
    assert_eq!(signed_up["username"], "ada@example.com");
    assert!(
        signed_up["accessToken"]
            .as_str()
            .is_some_and(|token| token.split('.').count() == 3)
    );

    let mail = until("the mail is written", async || voltgate.mails().pop()).await;
    for part in [
        "To: ada@example.com",
        "Content-Type: text/plain",
        "Content-Type: text/html",
    ] {
        assert!(mail.contains(part), "{part} is missing in:\n{mail}");
    }
    // Stopping lets whatever is under way come to its end.
    voltgate.process.stop().await;
    welcomed_once(&voltgate.mails(), "ada@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_logs_in_and_sees_its_profile() {
    let voltgate = Voltgate::start().await;
    let api = voltgate.api();
    let body = json!({ "username": "Ada", "password": "correct horse battery", "email": "ada@example.com" });
    let signed_up = api.post("/auth/signup", &body).await.expect(201);
    api.post(
        "/auth/signup",
        &json!({ "username": "ADA", "password": "correct horse battery", "email": "a@example.com" }),
    )
    .await
    .problem(409, "USERNAME_TAKEN");

    let profile = api
        .log_in("ada", "correct horse battery")
        .await
        .get("/auth/profile")
        .await
        .expect(200);
    assert_eq!(profile["id"], signed_up["id"]);
    assert_eq!(profile["email"], "ada@example.com");
    assert_eq!(profile["roles"], json!(["driver"]));

    let refused = api.get("/auth/profile").await;
    // Without credentials there is no error to name (RFC 6750, section 3.1).
    assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"voltgate\"");
    refused.problem(401, "MISSING_CREDENTIALS");
    let wrong = json!({ "username": "Ada", "password": "incorrect horse" });
    api.post("/auth/login", &wrong)
        .await
        .problem(401, "INVALID_CREDENTIALS");
    api.log_in("Ada", "correct horse battery")
        .await
        .get("/ocpp/transactions")
        .await
        .problem(403, "PERMISSION_DENIED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_describes_itself() {
    let voltgate = Voltgate::start().await;
    let api = voltgate.api();
    let health = api.get("/health").await.expect(200);
    for service in ["auth", "ocpp", "email"] {
        assert_eq!(health["services"][service], "SERVING", "{health}");
    }
    let openapi = api.get("/openapi.json").await.expect(200);
    assert_eq!(openapi["openapi"], "3.1.0");
    assert!(openapi["paths"]["/auth/signup"]["post"].is_object());
    let docs = api.get("/docs/").await;
    assert_eq!(docs.status, 200);
    assert!(docs.text.contains("swagger-ui"));
    let keys = api.get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
    let metrics = reqwest::get(format!("http://{}/metrics", voltgate.address("ADMIN_LISTEN")))
        .await
        .unwrap();
    assert!(
        metrics
            .text()
            .await
            .unwrap()
            .contains("voltgate_gateway_requests_total")
    );
}
