//! A campaign as an operator runs it with curl.

use e2e::all_in_one::Voltgate;
use e2e::api::{Answer, Api};
use reqwest::Method;
use serde_json::{Value, json};

async fn get(operator: &Api, path: &str, header: (&str, &str)) -> Answer {
    operator.send(Method::GET, path, &[header], String::new()).await
}

fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|error| error["field"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_created_looked_at_halted_and_ended_and_its_targets_come_as_a_file() {
    let voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    for identity in ["CP1", "CP2", "CP3"] {
        let charge_point = json!({ "identity": identity, "password": "a-password-for-all" });
        operator.post("/ocpp/charge-points", &charge_point).await.expect(201);
    }
    let campaign = json!({
        "name": "Heartbeats",
        "command": {"action": "ChangeConfiguration", "payload": {"value": "300", "key": "HeartbeatInterval"}},
        "chargePoints": {"identities": ["CP2", "CP1"]},
        "canarySize": 1, "pauseAfterCanary": true, "maxFailurePercent": 5, "startPaused": true,
    });
    let created = operator.post("/ocpp/campaigns", &campaign).await.expect(201);
    assert_eq!(created["command"], campaign["command"]);
    assert_eq!(
        (&created["state"], &created["pauseReason"]),
        (&json!("paused"), &json!("created"))
    );
    let path = format!("/ocpp/campaigns/{}", created["id"].as_str().unwrap());
    let seen = operator.get(&path).await;
    let tag = seen.header("etag").to_owned();
    assert_eq!(seen.expect(200)["report"]["waiting"], 2);
    assert_eq!(get(&operator, &path, ("if-none-match", &tag)).await.status, 304);

    let file = get(&operator, &format!("{path}/targets"), ("accept", "text/csv")).await;
    assert_eq!(
        file.header("content-disposition"),
        "attachment; filename=\"targets.csv\""
    );
    assert_eq!(
        file.text,
        "identity,wave,state,commandId,reason,progress,changedAt\r\nCP2,1,waiting,,,,\r\nCP1,2,waiting,,,,\r\n"
    );
    let none = operator.get(&format!("{path}/targets?state=queued")).await.expect(200);
    assert_eq!(none, json!({"targets": [], "nextPageToken": ""}));

    let resumed = operator.post(&format!("{path}/resume"), &json!({})).await.expect(200);
    assert_eq!(resumed["state"], "running");
    let headers = [("content-type", "application/json"), ("if-match", tag.as_str())];
    let changed = operator
        .send(Method::POST, &format!("{path}/pause"), &headers, "{}".to_owned())
        .await;
    changed.problem(412, "PRECONDITION_FAILED");
    let canceled = operator.post(&format!("{path}/cancel"), &json!({})).await.expect(200);
    assert_eq!(canceled["report"]["skipped"], 2);
    operator
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .problem(409, "CAMPAIGN_OVER");
    let listed = operator.get("/ocpp/campaigns?state=canceled").await.expect(200);
    assert_eq!(listed["campaigns"][0]["id"], created["id"]);
    assert_eq!(listed["campaigns"][0].get("report"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_campaign_is_told_by_where_it_stands() {
    let voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    let wrong = json!({
        "name": "Resets", "canarySize": -1,
        "command": {"action": "Reset", "payload": {"type": "Warm"}}, "selection": {"siteId": "harbour"},
    });
    let problem = operator
        .post("/ocpp/campaigns", &wrong)
        .await
        .problem(400, "INVALID_REQUEST");
    assert_eq!(
        fields(&problem),
        ["$.canarySize", "$.command.payload.type", "$.selection.siteId"]
    );
    let both = json!({
        "name": "Resets", "command": {"action": "ClearCache"}, "updateFirmware": {"firmware": "f.bin"}, "selection": {},
    });
    let problem = operator
        .post("/ocpp/campaigns", &both)
        .await
        .problem(400, "INVALID_REQUEST");
    assert_eq!(fields(&problem), ["$.updateFirmware"]);
    let nobody = json!({ "name": "Caches", "command": {"action": "ClearCache"}, "selection": {} });
    let problem = operator
        .post("/ocpp/campaigns", &nobody)
        .await
        .problem(400, "INVALID_REQUEST");
    assert_eq!(fields(&problem), ["$.selection"]);
}
