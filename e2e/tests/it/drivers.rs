//! A driver with a phone before a charge point, through the public ports.

use e2e::all_in_one::Voltgate;
use e2e::api::Api;
use e2e::python::Script;
use e2e::wait::LONGEST;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

const PASSWORD: &str = "a-password-for-CP1";

/// Signs up. Returns the API as the new account sees it, and the account's id.
async fn sign_up(voltgate: &Voltgate, username: &str) -> (Api, String) {
    let account = json!({ "username": username, "password": "a sound of distant thunder" });
    let answer = voltgate.api().post("/auth/signup", &account).await.expect(201);
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    (voltgate.api().with_token(&text("accessToken")), text("id"))
}

async fn patch(api: &Api, path: &str, body: &Value) -> Value {
    let headers = [("content-type", "application/json")];
    api.send(Method::PATCH, path, &headers, body.to_string())
        .await
        .expect(200)
}

/// A charge as it comes on.
struct Progress {
    answer: Response,
    text: String,
}

impl Progress {
    async fn follow(api: &Api, path: &str) -> Self {
        let url = format!("http://{}{path}/progress", api.gateway());
        let client = Client::builder().no_proxy().build().unwrap();
        let request = client
            .get(url)
            .bearer_auth(api.token())
            .header("accept", "text/event-stream");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            text: String::new(),
        }
    }

    /// What is told next, heartbeats left out. None where the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let told = data.map(|json| serde_json::from_str(json).unwrap());
                self.text = rest.to_owned();
                if told.is_some() {
                    return told;
                }
                continue;
            }
            let chunk = timeout(LONGEST, self.answer.chunk())
                .await
                .expect("it goes on in time")
                .unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_signed_up_charges_by_the_code_on_a_connector_and_nobody_else_sees_it() {
    let mut voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    let (ada, account) = sign_up(&voltgate, "ada@example.com").await;
    let (bob, _) = sign_up(&voltgate, "bob@example.com").await;
    let site = json!({ "name": "Harbour", "address": "Quay 1" });
    let site = operator.post("/ocpp/sites", &site).await.expect(201);
    let charge_point = json!({ "identity": "CP1", "password": PASSWORD, "siteId": site["id"] });
    operator.post("/ocpp/charge-points", &charge_point).await.expect(201);
    let connector = json!({ "code": "DE*ABC*E12345*1", "standard": "IEC_62196_T2", "maxPowerWatts": 22000 });
    patch(&operator, "/ocpp/charge-points/CP1/connectors/1", &connector).await;
    let token = json!({ "idToken": "CARD1", "accountId": account });
    operator.post("/ocpp/id-tokens", &token).await.expect(201);
    ada.get("/ocpp/charge-points/CP1")
        .await
        .problem(403, "PERMISSION_DENIED");

    let url = format!("ws://{}", voltgate.address("GATEWAY_LISTEN"));
    let mut station = Script::start("driven_charge_point.py", &[&url, "CP1", PASSWORD]);
    assert_eq!(station.next().await, json!({ "waiting": true }));
    let found = ada.get("/ocpp/my/connectors/de*abc*e12345*1").await.expect(200);
    assert_eq!((&found["free"], &found["status"]), (&json!(true), &json!("Preparing")));
    assert_eq!(
        (&found["siteName"], &found["siteAddress"]),
        (&json!("Harbour"), &json!("Quay 1"))
    );

    let wish = json!({ "connectorCode": "DE*ABC*E12345*1" });
    bob.post("/ocpp/my/charges", &wish).await.problem(409, "NO_ID_TOKEN");
    let started = ada.post("/ocpp/my/charges", &wish).await.expect(201);
    assert_eq!(started["state"], "accepted");
    let charging = station.next().await;
    assert_eq!(
        (&charging["id_tag"], &charging["status"]),
        (&json!("CARD1"), &json!("Accepted"))
    );
    let path = format!("/ocpp/my/transactions/{}", charging["transaction"]);

    let mut progress = Progress::follow(&ada, &path).await;
    assert_eq!(progress.next().await.unwrap()["status"], "active");
    station.go_on().await;
    let on_the_way = progress.next().await.unwrap();
    assert_eq!(
        (
            &on_the_way["energyWh"],
            &on_the_way["powerWatts"],
            &on_the_way["socPercent"]
        ),
        (&json!(2500), &json!(11_000), &json!(64))
    );
    for unseen in [path.clone(), format!("{path}/meter-values"), format!("{path}/progress")] {
        bob.get(&unseen).await.problem(404, "NOT_FOUND");
    }
    let stop = format!("{path}/stop");
    bob.post(&stop, &json!({})).await.problem(404, "NOT_FOUND");
    assert_eq!(ada.post(&stop, &json!({})).await.expect(201)["state"], "accepted");
    assert_eq!(station.next().await["stopped"], charging["transaction"]);

    let last = progress.next().await.unwrap();
    assert_eq!(
        (&last["status"], &last["energyWh"]),
        (&json!("completed"), &json!(5000))
    );
    assert_eq!(progress.next().await, None);

    let mine = ada.get("/ocpp/my/transactions").await.expect(200)["transactions"].clone();
    assert_eq!(mine.as_array().unwrap().len(), 1);
    assert_eq!(
        (&mine[0]["connectorCode"], &mine[0]["status"], &mine[0]["stopReason"]),
        (&json!("DE*ABC*E12345*1"), &json!("completed"), &json!("Remote"))
    );
    let others = bob.get("/ocpp/my/transactions").await.expect(200);
    assert_eq!(others["transactions"], json!([]));
    station.go_on().await;
    station.finish().await;
    voltgate.process.stop().await;
}
