//! An authenticator app and passkeys as a client of REST meets them.

use std::time::{SystemTime, UNIX_EPOCH};

use e2e::all_in_one::Voltgate;
use e2e::api::Api;
use e2e::wait::until;
use reqwest::Method;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use crate::new_sign_in::confirm_address;

const PASSWORD: &str = "correct horse battery";

/// What an authenticator app shows, so many steps from now.
fn code(secret: &str, steps: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let secret = Secret::try_from_base32(secret).unwrap();
    let app = Builder::new().with_secret(secret).build().unwrap();
    app.generate(now + steps * 30).to_string()
}

async fn delete(api: &Api, path: &str, body: &Value) -> e2e::api::Answer {
    let json = [("content-type", "application/json")];
    api.send(Method::DELETE, path, &json, body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_set_up_asked_for_and_taken_away() {
    let voltgate = Voltgate::start().await;
    let api = voltgate.api();
    let (username, password) = ("ada@example.com", PASSWORD);
    let credentials = json!({ "username": username, "password": password });
    api.post("/auth/signup", &credentials).await.expect(201);
    confirm_address(&voltgate).await;
    let ada = api.log_in(username, password).await;

    let set_up = ada.post("/auth/mfa/totp", &json!({ "password": password })).await;
    assert_eq!(set_up.header("cache-control"), "no-store");
    let set_up = set_up.expect(201);
    let secret = set_up["secret"].as_str().unwrap();
    assert!(set_up["otpauthUri"].as_str().unwrap().contains(secret));
    assert!(set_up["qrCode"].as_str().unwrap().contains("<svg"));
    let first = json!({ "code": code(secret, 0) });
    let codes = ada.post("/auth/mfa/totp/confirm", &first).await.expect(200);
    assert_eq!(codes["codes"].as_array().unwrap().len(), 10);
    let added = until("the owner is told", async || {
        voltgate.mails().into_iter().find(|mail| mail.contains("authenticator"))
    })
    .await;
    assert!(
        added.contains("To: ada@example.com") && !added.contains(secret),
        "{added}"
    );

    let asked = api.post("/auth/login", &credentials).await;
    assert_eq!(asked.header("cache-control"), "no-store");
    let asked = asked.expect(201);
    let members: Vec<_> = asked.as_object().unwrap().keys().collect();
    assert_eq!(members, ["secondFactor"], "{asked}");
    assert_eq!(asked["secondFactor"]["methods"], json!(["totp", "recovery-code"]));
    let token = &asked["secondFactor"]["token"];
    let wrong = json!({ "token": token, "code": "0000-0000-0000-0000" });
    let refused = api.post("/auth/login/second-factor", &wrong).await;
    assert!(refused.header("www-authenticate").starts_with("Bearer"));
    refused.problem(401, "INVALID_CODE");
    let right = json!({ "token": token, "code": codes["codes"][0] });
    let finished = api.post("/auth/login/second-factor", &right).await;
    assert_eq!(finished.header("cache-control"), "no-store");
    let finished = finished.expect(201);
    assert_eq!(
        (finished["username"].as_str(), finished["tokenType"].as_str()),
        (Some(username), Some("Bearer"))
    );
    api.post("/auth/login/second-factor", &right)
        .await
        .problem(401, "INVALID_CHALLENGE");

    let factors = ada.get("/auth/mfa").await.expect(200);
    assert_eq!(
        (&factors["totp"], &factors["recoveryCodesLeft"]),
        (&json!(true), &json!(9))
    );
    let proof = |code: &Value| json!({ "password": password, "code": code });
    let renewed = ada
        .post("/auth/mfa/recovery-codes", &proof(&codes["codes"][1]))
        .await
        .expect(201);
    let left = ada.get("/auth/mfa/recovery-codes").await.expect(200);
    assert_eq!(left, json!({ "left": 10, "of": 10 }));
    delete(&ada, "/auth/mfa/totp", &proof(&codes["codes"][2]))
        .await
        .problem(403, "WRONG_CODE");
    let removed = delete(&ada, "/auth/mfa/totp", &proof(&renewed["codes"][0])).await;
    assert_eq!((removed.status, removed.text.as_str()), (204, ""));
    api.log_in(username, password)
        .await
        .get("/auth/profile")
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_browsers_need_for_passkeys_is_json_and_not_text() {
    let voltgate = Voltgate::start().await;
    let api = voltgate.api();
    let credentials = json!({ "username": "ada@example.com", "password": PASSWORD });
    api.post("/auth/signup", &credentials).await.expect(201);
    let ada = api.log_in("ada@example.com", PASSWORD).await;

    let begun = ada
        .post("/auth/passkeys/registrations", &json!({ "password": PASSWORD }))
        .await
        .expect(201);
    assert_eq!(begun["options"]["rp"]["id"], "localhost");
    assert_eq!(begun["options"]["user"]["name"], "ada@example.com");
    let credential = json!({
        "id": "AQID", "rawId": "AQID", "type": "public-key",
        "response": { "clientDataJSON": "e30", "attestationObject": "oA" },
    });
    let answer = json!({ "token": begun["token"], "credential": credential });
    let refused = ada
        .post("/auth/passkeys", &answer)
        .await
        .problem(400, "INVALID_REQUEST");
    assert_eq!(refused["errors"][0]["field"], "$.credential");

    let challenge = api.post("/auth/login/passkey/challenge", &json!({})).await;
    assert_eq!(challenge.header("cache-control"), "no-store");
    let challenge = challenge.expect(201);
    assert_eq!(challenge["options"]["userVerification"], "required");
    let credential = json!({
        "id": "AQID", "rawId": "AQID", "type": "public-key",
        "response": { "clientDataJSON": "e30", "authenticatorData": "AA", "signature": "AA", "userHandle": "AA" },
    });
    let answer = json!({ "token": challenge["token"], "credential": credential });
    api.post("/auth/login/passkey", &answer)
        .await
        .problem(401, "PASSKEY_REFUSED");
    assert_eq!(ada.get("/auth/passkeys").await.expect(200), json!({ "passkeys": [] }));
    let unknown = format!("/auth/passkeys/{}", "01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e04");
    delete(&ada, &unknown, &json!({ "password": PASSWORD }))
        .await
        .problem(404, "NOT_FOUND");
}
