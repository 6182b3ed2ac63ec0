//! What a charge point left unfinished, and an operator decides, through the public ports.

use e2e::all_in_one::Voltgate;
use e2e::api::Api;
use reqwest::Method;
use serde_json::{Value, json};

/// `CP-8` with its password, as Basic authentication has it.
const CREDENTIALS: &str = "Basic Q1AtODphLXBhc3N3b3JkLWZvci1DUC04";

/// A charge point that says things without a socket.
async fn say(operator: &Api, action: &str, payload: &Value) -> Value {
    let frame = json!([2, "1", action, payload]).to_string();
    let headers = [
        ("authorization", CREDENTIALS),
        ("content-type", "application/json"),
        ("ocpp-version", "1.6"),
    ];
    let station = Api::at(operator.gateway());
    station
        .send(Method::POST, "/ocpp/CP-8", &headers, frame)
        .await
        .expect(200)[2]
        .clone()
}

/// A transaction that is open, and a stop that fits none. Returns the transaction's id.
pub async fn leave_a_stray(operator: &Api) -> Value {
    let charge_point = json!({ "identity": "CP-8", "password": "a-password-for-CP-8" });
    operator.post("/ocpp/charge-points", &charge_point).await.expect(201);
    let start = json!({"connectorId": 1, "idTag": "CARD8", "meterStart": 1000, "timestamp": "2026-03-01T12:00:00Z"});
    let id = say(operator, "StartTransaction", &start).await["transactionId"].clone();
    let status = json!({"connectorId": 1, "status": "Charging", "errorCode": "NoError"});
    say(operator, "StatusNotification", &status).await;
    say(operator, "StopTransaction", &stop()).await;
    id
}

fn stop() -> Value {
    json!({"transactionId": 4711, "meterStop": 9000, "timestamp": "2026-03-01T13:00:00Z", "vendor": 1.50})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_is_shown_as_it_came_and_attached_by_rest() {
    let voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    let id = leave_a_stray(&operator).await;
    let strays = operator
        .get("/ocpp/strays?state=open&kind=stop&identity=CP-8")
        .await
        .expect(200);
    let stray = &strays["strays"][0];
    assert_eq!(stray["payload"], stop());
    let path = format!("/ocpp/strays/{}", stray["id"].as_str().unwrap());
    assert_eq!(&operator.get(&path).await.expect(200), stray);
    operator
        .post(&format!("{path}/attach"), &json!({}))
        .await
        .problem(400, "INVALID_REQUEST");
    let attach = json!({ "transactionId": id });
    let attached = operator.post(&format!("{path}/attach"), &attach).await.expect(200);
    assert_eq!(
        (&attached["state"], &attached["transactionId"]),
        (&json!("attached"), &id)
    );
    let note = json!({ "note": "a test" });
    operator
        .post(&format!("{path}/dismiss"), &note)
        .await
        .problem(409, "STRAY_SETTLED");
    let close = json!({ "reason": "it burnt down" });
    let transaction = format!("/ocpp/transactions/{id}");
    operator
        .post(&format!("{transaction}/close"), &close)
        .await
        .problem(409, "TRANSACTION_STOPPED");
    assert_eq!(operator.get(&transaction).await.expect(200)["energyWh"], 8000);
    let history = operator
        .get("/ocpp/charge-points/CP-8/connectors/1/history")
        .await
        .expect(200);
    assert_eq!(history["statuses"][0]["status"], "Charging");
}
