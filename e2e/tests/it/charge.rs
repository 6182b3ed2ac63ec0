//! A charge, from the registration of the charge point to the energy on the record.

use e2e::all_in_one::Voltgate;
use e2e::api::Api;
use e2e::python::Script;
use e2e::wait::until;
use serde_json::{Value, json};

const PASSWORD: &str = "a-password-for-CP1";

/// Everything that an operator and a charge point do for one charge, through the public ports.
pub async fn complete_a_charge(operator: &Api) {
    let created = operator
        .post(
            "/ocpp/charge-points",
            &json!({ "identity": "CP1", "password": PASSWORD }),
        )
        .await;
    assert_eq!(created.expect(201)["online"], false);
    operator
        .post("/ocpp/id-tokens", &json!({ "idToken": "CARD1" }))
        .await
        .expect(201);

    let url = format!("ws://{}", operator.gateway());
    let mut station = Script::start("charge_point.py", &[&url, "CP1", PASSWORD, "card1"]);
    let charging = station.next().await;
    assert_eq!(charging["subprotocol"], "ocpp1.6");
    assert_eq!(charging["boot"], "Accepted");
    assert_eq!(charging["authorized"], "Accepted");

    let charge_point = operator.get("/ocpp/charge-points/CP1").await.expect(200);
    assert_eq!(charge_point["online"], true);
    assert_eq!(charge_point["vendor"], "Vendor");
    assert_eq!(charge_point["connectors"][0]["connectorId"], 1);
    assert_eq!(charge_point["connectors"][0]["status"], "Charging");
    let connectors = operator.get("/ocpp/charge-points/CP1/connectors").await.expect(200);
    assert_eq!(connectors["connectors"], charge_point["connectors"]);
    let transaction = format!("/ocpp/transactions/{}", charging["transaction"]);
    let running = operator.get(&transaction).await.expect(200);
    assert_eq!(
        (&running["status"], &running["energyWh"]),
        (&json!("active"), &json!(2500))
    );

    remote_start(operator, &mut station).await;

    station.go_on().await;
    station.next().await;
    let done = operator.get("/ocpp/transactions?identity=CP1").await.expect(200)["transactions"][0].clone();
    assert_eq!(done["status"], "completed");
    assert_eq!(done["energyWh"], 5000);
    assert_eq!(done["stopReason"], "Local");
    let values = operator.get(&format!("{transaction}/meter-values")).await.expect(200);
    assert_eq!(values["meterValues"][0]["value"], "3.5");
    assert_eq!(values["meterValues"][0]["normalizedValue"], "3500");
    exchanges_are_kept(operator).await;

    station.go_on().await;
    station.finish().await;
    until("the charge point is offline", async || {
        let charge_point = operator.get("/ocpp/charge-points/CP1").await.expect(200);
        (charge_point["online"] == false).then_some(())
    })
    .await;
}

async fn remote_start(operator: &Api, station: &mut Script) {
    let path = "/ocpp/charge-points/CP1/commands/RemoteStartTransaction";
    let command = operator
        .post(path, &json!({ "idTag": "CARD1", "connectorId": 2 }))
        .await
        .expect(201);
    assert_eq!(station.next().await, json!({ "remote_start": "CARD1" }));
    assert_eq!(command["status"], "accepted");
    assert_eq!(command["response"], json!({ "status": "Accepted" }));
    let ledger = operator
        .get(&format!("/ocpp/commands/{}", command["id"].as_str().unwrap()))
        .await
        .expect(200);
    assert_eq!(ledger["payload"], json!({ "idTag": "CARD1", "connectorId": 2 }));
}

async fn exchanges_are_kept(operator: &Api) {
    let messages = operator.get("/ocpp/charge-points/CP1/messages").await.expect(200);
    let messages = messages["messages"].as_array().unwrap().clone();
    let actions: Vec<_> = messages
        .iter()
        .rev()
        .map(|message| message["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "BootNotification",
            "Heartbeat",
            "StatusNotification",
            "Authorize",
            "StartTransaction",
            "StatusNotification",
            "MeterValues",
            "RemoteStartTransaction",
            "StopTransaction",
        ]
    );
    for message in messages {
        let request: Value = serde_json::from_str(message["request"].as_str().unwrap()).unwrap();
        let response: Value = serde_json::from_str(message["response"].as_str().unwrap()).unwrap();
        assert_eq!((&request[0], &response[0]), (&json!(2), &json!(3)));
        assert_eq!(request[1], response[1], "an answer has the id of its CALL");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_point_that_nobody_here_wrote_completes_a_charge() {
    let mut voltgate = Voltgate::start().await;
    complete_a_charge(&voltgate.admin().await).await;
    voltgate.process.stop().await;
}
