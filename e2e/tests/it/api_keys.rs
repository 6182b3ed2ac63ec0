//! A program uses an API key wherever a person would use an access token.

use e2e::all_in_one::ADMIN_PASSWORD;
use e2e::processes::Processes;
use e2e::wait::until;
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_it_is_for_through_the_gateway_until_it_is_revoked() {
    let mut processes = Processes::prepare().await;
    processes.start_all().await;
    let admin = processes.api().log_in("admin", ADMIN_PASSWORD).await;
    let created = admin
        .post(
            "/auth/api-keys",
            &json!({ "name": "Nightly report", "scopes": ["ocpp:read"], "password": ADMIN_PASSWORD }),
        )
        .await;
    assert_eq!(created.header("cache-control"), "no-store");
    let created = created.expect(201);
    let program = admin.with_token(created["key"].as_str().unwrap_or_default());

    program.get("/ocpp/charge-points").await.expect(200);
    let refused = program
        .post("/ocpp/charge-points", &json!({ "identity": "CP-1" }))
        .await;
    assert_eq!(
        refused.header("www-authenticate"),
        "Bearer realm=\"voltgate\", error=\"insufficient_scope\""
    );
    refused.problem(403, "INSUFFICIENT_SCOPE");
    program.get("/auth/users").await.problem(403, "INSUFFICIENT_SCOPE");
    let charge_points = admin.get("/ocpp/charge-points").await.expect(200);
    assert_eq!(charge_points["chargePoints"], json!([]));

    // Whoever knows the key goes on with what it was exchanged for.
    processes.kill("auth-service").await;
    program.get("/ocpp/charge-points").await.expect(200);
    processes.start_one("auth-service").await;

    let path = format!(
        "/auth/api-keys/{}",
        created["apiKey"]["id"].as_str().unwrap_or_default()
    );
    until("the key is revoked", async || {
        let revoked = admin.send(Method::DELETE, &path, &[], String::new()).await;
        (revoked.status == 204).then_some(())
    })
    .await;
    until("the key is refused", async || {
        (program.get("/ocpp/charge-points").await.status == 401).then_some(())
    })
    .await;
    processes.stop().await;
}
