//! What is wrong with a request is said: which status, which reason, where.

use e2e::all_in_one::Voltgate;
use e2e::api::Api;
use e2e::python::Script;
use reqwest::Method;
use serde_json::{Value, json};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

async fn signup(api: &Api, body: &str) -> e2e::api::Answer {
    api.send(Method::POST, "/auth/signup", JSON, body.to_owned()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_request_gets_its_own_clear_answer() {
    let voltgate = Voltgate::start().await;
    let (api, operator) = (voltgate.api(), voltgate.admin().await);

    let malformed = signup(&api, "{\"username\": }").await.problem(400, "MALFORMED_JSON");
    assert!(
        malformed["detail"].as_str().unwrap().contains("line 1, column 14"),
        "{malformed}"
    );
    let wrong = signup(&api, r#"{"username": 7, "nickname": "x", "password": true}"#)
        .await
        .problem(400, "INVALID_REQUEST");
    let fields: Vec<_> = wrong["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["$.username", "$.nickname", "$.password"]);
    let rules = signup(&api, r#"{"username": "a b", "password": "short"}"#)
        .await
        .problem(400, "INVALID_REQUEST");
    assert!(rules["errors"].as_array().unwrap().len() >= 2, "{rules}");

    api.get("/nowhere").await.problem(404, "NOT_FOUND");
    let method = api.send(Method::DELETE, "/auth/signup", &[], String::new()).await;
    assert_eq!(method.header("allow"), "POST, OPTIONS");
    method.problem(405, "METHOD_NOT_ALLOWED");
    api.send(
        Method::POST,
        "/auth/signup",
        &[("content-type", "text/xml")],
        "<a/>".to_owned(),
    )
    .await
    .problem(415, "UNSUPPORTED_MEDIA_TYPE");
    signup(&api, &format!("{{\"username\": \"{}\"}}", "a".repeat(70_000)))
        .await
        .problem(413, "PAYLOAD_TOO_LARGE");

    let unknown = operator
        .get("/ocpp/transactions?colour=red")
        .await
        .problem(400, "INVALID_REQUEST");
    assert_eq!(unknown["errors"][0]["field"], "colour");
    operator
        .get("/ocpp/transactions/seven")
        .await
        .problem(400, "INVALID_REQUEST");
    operator
        .get("/ocpp/charge-points/NOBODY")
        .await
        .problem(404, "NOT_FOUND");
    operator
        .post("/ocpp/charge-points", &json!({ "identity": "transactions" }))
        .await
        .problem(400, "INVALID_REQUEST");
    let path = "/ocpp/charge-points/NOBODY/commands/Reset";
    operator
        .post(path, &json!({ "type": "Soft" }))
        .await
        .problem(404, "NOT_FOUND");
}

async fn with_a_charge_point() -> (Voltgate, Api) {
    let voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    let body = json!({ "identity": "CP1", "password": "a-password-for-CP1" });
    operator.post("/ocpp/charge-points", &body).await.expect(201);
    (voltgate, operator)
}

async fn refused(api: &Api, identity: &str, password: &str, subprotocol: &str) -> Value {
    let url = format!("ws://{}", api.gateway());
    let mut station = Script::start("raw_frames.py", &[&url, identity, password, subprotocol]);
    let refusal = station.next().await;
    station.finish().await;
    refusal
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_point_that_may_not_connect_is_refused_before_there_is_a_socket() {
    let (_voltgate, api) = with_a_charge_point().await;
    assert_eq!(
        refused(&api, "NOBODY", "a-password-for-CP1", "ocpp1.6").await["status"],
        404
    );
    assert_eq!(
        refused(&api, "CP1", "a-password-for-CP1", "ocpp0.9").await["status"],
        400
    );
    let wrong = refused(&api, "CP1", "another-password-1", "ocpp1.6").await;
    assert_eq!(wrong["status"], 401);
    assert!(
        wrong["headers"].to_string().to_lowercase().contains("www-authenticate"),
        "{wrong}"
    );
    assert_eq!(refused(&api, "CP1", "", "ocpp1.6").await["status"], 401);
    api.get("/ocpp/CP1").await.problem(426, "UPGRADE_REQUIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_frame_gets_its_own_clear_answer() {
    let (_voltgate, operator) = with_a_charge_point().await;
    operator
        .post("/ocpp/id-tokens", &json!({ "idToken": "CARD1" }))
        .await
        .expect(201);
    let long_tag = "A".repeat(21);
    let authorize = json!([2, "3", "Authorize", { "idTag": long_tag }]).to_string();
    let start = json!([2, "4", "StartTransaction",
        { "connectorId": 1, "idTag": long_tag, "meterStart": 0, "timestamp": "2026-01-01T00:00:00Z" }])
    .to_string();
    let url = format!("ws://{}", operator.gateway());
    #[rustfmt::skip]
    let frames = [
        r#"[2,"0","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]"#, "answer",
        r#"{"not": "an array"}"#, "no",
        "not even JSON", "no",
        r#"[2,"1","MakeCoffee",{}]"#, "answer",
        r#"[2,"2","Reset",{"type":"Soft"}]"#, "answer",
        &authorize, "answer",
        &start, "answer",
        r#"[2,"5","Heartbeat",{}]"#, "answer",
    ];
    let mut station = Script::start(
        "raw_frames.py",
        &[[&url, "CP1", "a-password-for-CP1", "ocpp1.6"].as_slice(), &frames].concat(),
    );
    assert_eq!(station.next().await[2]["status"], "Accepted");
    // 1.6 has no answer to what is not a CALL; the socket stays open and the next CALL is answered.
    let answer = station.next().await;
    assert_eq!(
        (&answer[0], &answer[1], &answer[2]),
        (&json!(4), &json!("1"), &json!("NotImplemented"))
    );
    let answer = station.next().await;
    assert_eq!(
        (&answer[0], &answer[1], &answer[2]),
        (&json!(4), &json!("2"), &json!("NotSupported"))
    );
    let answer = station.next().await;
    assert_eq!(
        (&answer[0], &answer[1], &answer[2]),
        (&json!(4), &json!("3"), &json!("PropertyConstraintViolation"))
    );
    let answer = station.next().await;
    assert_eq!(
        (&answer[0], &answer[1]),
        (&json!(3), &json!("4")),
        "a start is money: it is answered, and flagged"
    );
    assert!(answer[2]["transactionId"].as_i64().unwrap() > 0);
    assert_eq!(station.next().await[1], "5");
    station.finish().await;

    let messages = operator
        .get("/ocpp/charge-points/CP1/messages?action=StartTransaction")
        .await
        .expect(200);
    let violations = messages["messages"][0]["violations"].to_string();
    assert!(violations.contains("idTag"), "{messages}");
}
