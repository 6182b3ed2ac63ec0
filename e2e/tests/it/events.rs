//! The live feed through the gateway, with everything on its way killed and restarted.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::api::Api;
use e2e::process::free_address;
use e2e::processes::Processes;
use e2e::wait::{LONGEST, until};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

/// A server-sent event.
#[derive(Debug)]
struct Told {
    id: String,
    name: String,
    data: Value,
}

/// Somebody who listens as a browser does, and keeps the id that came last.
struct Listener {
    client: Client,
    token: String,
    last_id: Option<String>,
    answer: Option<Response>,
    text: String,
}

impl Listener {
    fn new(token: &str) -> Self {
        Self {
            client: Client::builder().no_proxy().build().expect("a client can be made"),
            token: token.to_owned(),
            last_id: None,
            answer: None,
            text: String::new(),
        }
    }

    async fn try_listen(&mut self, api: &Api) -> Option<()> {
        let url = format!(
            "http://{}/ocpp/events?type=connector.status&identity=CP1",
            api.gateway()
        );
        let mut request = self
            .client
            .get(url)
            .bearer_auth(&self.token)
            .header("accept", "text/event-stream");
        if let Some(id) = &self.last_id {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await.ok().filter(|answer| answer.status() == 200)?;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        self.answer = Some(answer);
        self.text.clear();
        let mark = self.next().await?;
        assert_eq!(
            (mark.name.as_str(), &mark.data["type"]),
            ("events.mark", &json!("events.mark"))
        );
        Some(())
    }

    async fn listen(&mut self, api: &Api) {
        until("the feed can be heard", async || self.try_listen(api).await).await;
    }

    /// None where the stream has ended, in whichever way.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::to_owned)
                };
                match (field("id: "), field("event: "), field("data: ")) {
                    (Some(id), Some(name), Some(data)) => {
                        self.last_id = Some(id.clone());
                        let data: Value = serde_json::from_str(&data).expect("data is JSON");
                        assert_eq!((&data["id"], &data["type"]), (&json!(id), &json!(name)));
                        return Some(Told { id, name, data });
                    }
                    (None, Some(name), Some(_)) if name == "error" => return None,
                    // A heartbeat.
                    _ => continue,
                }
            }
            let chunk = timeout(LONGEST, self.answer.as_mut()?.chunk())
                .await
                .expect("something comes in time");
            let chunk = chunk.ok().flatten()?;
            self.text
                .push_str(std::str::from_utf8(&chunk).expect("events are text"));
        }
    }

    /// The connectors of the next events.
    async fn hears(&mut self, of: usize) -> Vec<i64> {
        let mut connectors = Vec::new();
        while connectors.len() < of {
            let told = self.next().await.expect("the stream goes on");
            if told.name != "events.mark" {
                assert!(!told.id.is_empty());
                connectors.push(
                    told.data["connectorStatus"]["connectorId"]
                        .as_i64()
                        .expect("it has a number"),
                );
            }
        }
        connectors
    }

    /// Until the stream is over.
    async fn is_cut_off(&mut self) {
        while let Some(told) = self.next().await {
            assert_eq!(told.name, "events.mark");
        }
    }
}

/// A charge point that posts its frames.
struct ChargePoint {
    authorization: String,
    connectors: i64,
}

impl ChargePoint {
    /// The state of so many connectors, each of which was never told of before.
    async fn tells(&mut self, api: &Api, of: usize) {
        for _ in 0..of {
            self.connectors += 1;
            let payload = json!({"connectorId": self.connectors, "errorCode": "NoError", "status": "Available"});
            let frame = json!([2, format!("m-{}", self.connectors), "StatusNotification", payload]).to_string();
            let headers = [
                ("authorization", self.authorization.as_str()),
                ("content-type", "application/json"),
                ("ocpp-version", "1.6"),
            ];
            until("the charge point is answered", async || {
                let answer = api.send(Method::POST, "/ocpp/CP1", &headers, frame.clone()).await;
                (answer.status == 200 && answer.text.starts_with("[3,")).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listens_misses_nothing_and_hears_nothing_twice_while_everything_is_killed_and_restarted() {
    let mut processes = Processes::prepare().await;
    processes.set("gateway", "GATEWAY_HTTP_BINDING", "true".to_owned());
    processes.set("gateway", "GATEWAY_HEARTBEAT_SECONDS", "1".to_owned());
    let mut gateway = processes.environments["gateway"].clone();
    gateway.insert("GATEWAY_LISTEN".to_owned(), free_address());
    gateway.insert("ADMIN_LISTEN".to_owned(), free_address());
    let (one, other) = (processes.api(), Api::at(&gateway["GATEWAY_LISTEN"]));
    processes.environments.insert("gateway 2", gateway);
    processes.start_all().await;
    let operator = processes.admin().await;
    let created = operator
        .post("/ocpp/charge-points", &json!({ "identity": "CP1" }))
        .await
        .expect(201);
    let password = created["password"].as_str().expect("it is made");
    let mut charge_point = ChargePoint {
        authorization: format!("Basic {}", STANDARD.encode(format!("CP1:{password}"))),
        connectors: 0,
    };
    let mut listener = Listener::new(operator.token());
    listener.listen(&one).await;
    let mut heard = Vec::new();
    charge_point.tells(&one, 5).await;
    // Only some of them arrive before its gateway is gone.
    heard.extend(listener.hears(3).await);

    processes.kill("gateway").await;
    charge_point.tells(&other, 3).await;
    listener.listen(&other).await;
    heard.extend(listener.hears(5).await);

    processes.kill("charger-service").await;
    listener.is_cut_off().await;
    processes.start_one("charger-service").await;
    charge_point.tells(&other, 2).await;
    listener.listen(&other).await;
    heard.extend(listener.hears(2).await);

    // In good order, with events while it listens and none that it has heard.
    charge_point.tells(&other, 2).await;
    processes.restart("charger-service").await;
    charge_point.tells(&other, 2).await;
    // It may have heard the first two before it was cut off.
    let expected = usize::try_from(charge_point.connectors).expect("it is small");
    while heard.len() < expected {
        match listener.next().await {
            Some(told) if told.name == "events.mark" => {}
            Some(told) => heard.push(
                told.data["connectorStatus"]["connectorId"]
                    .as_i64()
                    .expect("it has a number"),
            ),
            None => listener.listen(&other).await,
        }
    }
    assert_eq!(heard, (1..=charge_point.connectors).collect::<Vec<_>>());
    // And nothing more.
    assert!(timeout(Duration::from_secs(2), listener.hears(1)).await.is_err());
    processes.stop().await;
}
