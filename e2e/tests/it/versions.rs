//! Entity tags through the public port: what has not changed is not sent again, and what has is not overwritten unseen.

use e2e::all_in_one::Voltgate;
use reqwest::Method;
use serde_json::json;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread")]
async fn nobody_overwrites_what_they_have_not_seen() {
    let voltgate = Voltgate::start().await;
    let admin = voltgate.admin().await;
    let token = "/ocpp/id-tokens/card1";
    let created = admin
        .post("/ocpp/id-tokens", &json!({ "idToken": "CARD1", "groupId": "Family" }))
        .await;
    let first = created.header("etag").to_owned();
    created.expect(201);
    let unchanged = admin
        .send(Method::GET, token, &[("if-none-match", &first)], String::new())
        .await;
    assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
    assert_eq!(unchanged.header("etag"), first);

    let patch = async |tag: &str, body: serde_json::Value| {
        admin
            .send(Method::PATCH, token, &[JSON, ("if-match", tag)], body.to_string())
            .await
    };
    let changed = patch(&first, json!({ "blocked": true })).await;
    let second = changed.header("etag").to_owned();
    let changed = changed.expect(200);
    assert_eq!(
        (&changed["blocked"], &changed["groupId"]),
        (&json!(true), &json!("Family"))
    );
    patch(&first, json!({ "blocked": false }))
        .await
        .problem(412, "PRECONDITION_FAILED");
    // A tag of a compressed answer is as good as the service's own.
    let compressed = second.replacen("\"", "", 1).replace('"', "-gzip\"");
    let changed = patch(&format!("\"{compressed}"), json!({ "updateMask": "groupId" })).await;
    let third = changed.header("etag").to_owned();
    assert_eq!(changed.expect(200).get("groupId"), None);

    let delete = async |tag: &str| {
        admin
            .send(Method::DELETE, token, &[("if-match", tag)], String::new())
            .await
    };
    delete(&second).await.problem(412, "PRECONDITION_FAILED");
    let deleted = delete(&third).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (200, "{}"));
    delete("*").await.problem(404, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_point_is_renamed_by_one_operator_at_a_time() {
    let voltgate = Voltgate::start().await;
    let admin = voltgate.admin().await;
    admin
        .post("/ocpp/charge-points", &json!({ "identity": "CP1" }))
        .await
        .expect(201);
    let path = "/ocpp/charge-points/CP1";
    let seen = admin.get(path).await.header("etag").to_owned();
    let rename = async |name: &str| {
        let body = json!({ "displayName": name }).to_string();
        admin
            .send(Method::PATCH, path, &[JSON, ("if-match", &seen)], body)
            .await
    };
    assert_eq!(rename("Depot").await.expect(200)["displayName"], "Depot");
    rename("Yard").await.problem(412, "PRECONDITION_FAILED");
    let malformed = admin.send(Method::PATCH, path, &[JSON, ("if-match", "7")], "{}".to_owned());
    malformed.await.problem(400, "INVALID_REQUEST");
}
