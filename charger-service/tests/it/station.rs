//! A charge point, with the gateway's stream in place of a WebSocket.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};
use voltgate_proto::ocpp::v1::session_service_client::SessionServiceClient;
use voltgate_proto::ocpp::v1::{Closed, FromStation, OpenRequest, ToStation, from_station, to_station};

use crate::service::Service;

const PATIENCE: Duration = Duration::from_secs(15);

/// What a charge point offers in its handshake.
pub struct Offer<'a> {
    pub identity: &'a str,
    pub subprotocols: &'a str,
    pub authorization: Option<String>,
}

impl<'a> Offer<'a> {
    pub fn of(identity: &'a str, password: &str) -> Self {
        Self {
            identity,
            subprotocols: "ocpp1.6",
            authorization: Some(basic(identity, password.as_bytes())),
        }
    }
}

pub fn basic(user: &str, password: &[u8]) -> String {
    use base64::Engine;
    let credentials = [user.as_bytes(), b":", password].concat();
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(credentials)
    )
}

pub struct Station {
    outbound: mpsc::Sender<FromStation>,
    inbound: Streaming<ToStation>,
    calls: u32,
    pub subprotocol: String,
}

#[derive(Debug)]
pub enum Received {
    Frame(String),
    Close(Closed),
    End,
}

impl Station {
    pub async fn connect(service: &Service, identity: &str, password: &str) -> Self {
        Self::open(service, Offer::of(identity, password)).await.unwrap()
    }

    pub async fn open(service: &Service, offer: Offer<'_>) -> Result<Self, Status> {
        let (outbound, frames) = mpsc::channel(64);
        let open = OpenRequest {
            identity: offer.identity.to_owned(),
        };
        outbound
            .send(FromStation {
                event: Some(from_station::Event::Open(open)),
            })
            .await
            .unwrap();
        let mut request = Request::new(ReceiverStream::new(frames));
        let metadata = request.metadata_mut();
        metadata.insert("authorization", service.gateway_token().parse().unwrap());
        metadata.insert("voltgate-subprotocols", offer.subprotocols.parse().unwrap());
        metadata.insert("voltgate-peer", "192.0.2.7:4711".parse().unwrap());
        if let Some(authorization) = offer.authorization {
            metadata.insert("voltgate-authorization", authorization.parse().unwrap());
        }
        let response = SessionServiceClient::new(service.channel.clone()).open(request).await?;
        let subprotocol = response
            .metadata()
            .get("voltgate-subprotocol")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        Ok(Self {
            outbound,
            inbound: response.into_inner(),
            calls: 0,
            subprotocol,
        })
    }

    pub async fn send(&self, frame: &str) {
        let frame = FromStation {
            event: Some(from_station::Event::Frame(frame.to_owned())),
        };
        self.outbound.send(frame).await.unwrap();
    }

    pub async fn receive(&mut self) -> Received {
        let message = timeout(PATIENCE, self.inbound.message())
            .await
            .expect("something comes in time");
        match message.ok().flatten().and_then(|message| message.event) {
            Some(to_station::Event::Frame(frame)) => Received::Frame(frame),
            Some(to_station::Event::Close(close)) => Received::Close(close),
            None => Received::End,
        }
    }

    pub async fn frame(&mut self) -> Value {
        match self.receive().await {
            Received::Frame(frame) => serde_json::from_str(&frame).unwrap(),
            other => panic!("a frame was due, not {other:?}"),
        }
    }

    /// Until the stream ends; the close frame, where there was one.
    pub async fn closed(&mut self) -> Option<Closed> {
        match self.receive().await {
            Received::Close(closed) => Some(closed),
            Received::End => None,
            Received::Frame(frame) => panic!("the end was due, not {frame}"),
        }
    }

    /// Sends a CALL and returns what comes back, CALLRESULT or CALLERROR.
    pub async fn ask(&mut self, action: &str, payload: Value) -> Value {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        self.send(&json!([2, id, action, payload]).to_string()).await;
        let answer = self.frame().await;
        assert_eq!(answer[1], json!(id), "{answer}");
        answer
    }

    /// Sends a CALL that is accepted, and returns the answer's payload.
    pub async fn call(&mut self, action: &str, payload: Value) -> Value {
        let answer = self.ask(action, payload).await;
        assert_eq!(answer[0], json!(3), "{answer}");
        answer[2].clone()
    }

    /// Sends a CALL that is refused, and returns the error code.
    pub async fn refused(&mut self, action: &str, payload: Value) -> String {
        let answer = self.ask(action, payload).await;
        assert_eq!(answer[0], json!(4), "{answer}");
        answer[2].as_str().unwrap().to_owned()
    }

    /// Waits for a CALL of the central system: message id, action and payload.
    pub async fn called(&mut self) -> (String, String, Value) {
        let frame = self.frame().await;
        assert_eq!(frame[0], json!(2), "{frame}");
        (
            frame[1].as_str().unwrap().to_owned(),
            frame[2].as_str().unwrap().to_owned(),
            frame[3].clone(),
        )
    }

    pub async fn answer(&self, id: &str, payload: Value) {
        self.send(&json!([3, id, payload]).to_string()).await;
    }

    pub async fn boot(&mut self) -> Value {
        self.call(
            "BootNotification",
            json!({"chargePointVendor": "Volt", "chargePointModel": "One"}),
        )
        .await
    }

    /// Starts a charge with a tag; returns the transaction's id.
    pub async fn start(&mut self, id_tag: &str, meter_start: i64, timestamp: &str) -> i64 {
        let payload = json!({"connectorId": 1, "idTag": id_tag, "meterStart": meter_start, "timestamp": timestamp});
        self.call("StartTransaction", payload).await["transactionId"]
            .as_i64()
            .unwrap()
    }

    /// As a socket that breaks.
    pub async fn hang_up(self) {
        let closed = Closed {
            code: 1006,
            reason: String::new(),
        };
        self.outbound
            .send(FromStation {
                event: Some(from_station::Event::Closed(closed)),
            })
            .await
            .unwrap();
    }
}
