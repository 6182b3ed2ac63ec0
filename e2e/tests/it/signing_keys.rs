//! The keys that sign access tokens are replaced while everything runs.

use e2e::all_in_one::Voltgate;
use e2e::wait::until;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_somebody_else_may_have_stop_opening_anything_and_everybody_refreshes_and_goes_on() {
    let voltgate = Voltgate::start().await;
    let (api, admin) = (voltgate.api(), voltgate.admin().await);
    let body = json!({ "username": "ada@example.com", "password": "correct horse battery" });
    let ada = api.post("/auth/signup", &body).await.expect(201);
    let with = |answer: &serde_json::Value| api.with_token(answer["accessToken"].as_str().unwrap());
    admin.get("/ocpp/charge-points").await.expect(200);
    with(&ada).get("/auth/profile").await.expect(200);

    let refused = with(&ada).post("/auth/signing-keys", &json!({})).await;
    refused.problem(403, "PERMISSION_DENIED");
    let keys = admin
        .post("/auth/signing-keys", &json!({ "compromised": true }))
        .await
        .expect(201);
    assert_eq!(keys["signingKeys"].as_array().unwrap().len(), 1, "{keys}");

    // At the service that signs and at one that only verifies, both behind the gateway, which verifies too.
    until("auth-service refuses", async || {
        (with(&ada).get("/auth/profile").await.status == 401).then_some(())
    })
    .await;
    until("charger-service refuses", async || {
        (admin.get("/ocpp/charge-points").await.status == 401).then_some(())
    })
    .await;

    let refresh = json!({ "refreshToken": ada["refreshToken"] });
    let ada = api.post("/auth/refresh", &refresh).await.expect(200);
    with(&ada).get("/auth/profile").await.expect(200);
    voltgate.admin().await.get("/ocpp/charge-points").await.expect(200);
    let published = api.get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(published["keys"][0]["kid"], keys["signingKeys"][0]["id"]);
}
