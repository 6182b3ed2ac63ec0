//! A charge point, with the gateway's stream in place of a WebSocket.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use voltgate_proto::ocpp::v1::session_service_client::SessionServiceClient;
use voltgate_proto::ocpp::v1::{
    Closed, ExchangeRequest, FromStation, Leaving, OpenRequest, Resumption, ToStation, from_station, to_station,
};

use crate::service::Service;

/// A service that cannot reach its database tries for some seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a charge point offers in its handshake.
pub struct Offer<'a> {
    pub identity: &'a str,
    pub subprotocols: &'a str,
    pub authorization: Option<String>,
    /// Whether the gateway says that it came by TLS, and the certificate it showed, in DER.
    pub tls: bool,
    pub certificate: Option<Vec<u8>>,
}

impl<'a> Offer<'a> {
    pub fn of(identity: &'a str, password: &str) -> Self {
        Self {
            identity,
            subprotocols: "ocpp1.6",
            authorization: Some(basic(identity, password.as_bytes())),
            tls: false,
            certificate: None,
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
    identity: String,
    token: String,
    /// As the gateway counts them.
    sent: u64,
    received: u64,
    pub acknowledged: u64,
}

#[derive(Debug)]
pub enum Received {
    Frame(String),
    Close(Closed),
    Leaving(Leaving),
    Acknowledged,
    End,
}

impl Station {
    pub async fn connect(service: &Service, identity: &str, password: &str) -> Self {
        Self::open(service, Offer::of(identity, password)).await.unwrap()
    }

    pub async fn open(service: &Service, offer: Offer<'_>) -> Result<Self, Status> {
        Self::open_at(service.channel.clone(), &service.gateway_token(), offer).await
    }

    /// The same for a task that does not have the service.
    pub async fn open_at(channel: Channel, token: &str, offer: Offer<'_>) -> Result<Self, Status> {
        let open = OpenRequest {
            identity: offer.identity.to_owned(),
            resumption: None,
        };
        let mut metadata = MetadataMap::new();
        metadata.insert("voltgate-subprotocols", offer.subprotocols.parse().unwrap());
        metadata.insert("voltgate-peer", "192.0.2.7:4711".parse().unwrap());
        if let Some(authorization) = offer.authorization {
            metadata.insert("voltgate-authorization", authorization.parse().unwrap());
        }
        if offer.tls {
            metadata.insert("voltgate-tls", "1.3".parse().unwrap());
        }
        if let Some(der) = offer.certificate {
            metadata.insert_bin("voltgate-certificate-bin", MetadataValue::from_bytes(&der));
        }
        let (outbound, response) = open_stream(channel, token, open, metadata).await?;
        let said = |name| response.metadata().get(name).unwrap().to_str().unwrap().to_owned();
        Ok(Self {
            outbound,
            calls: 0,
            subprotocol: said("voltgate-subprotocol"),
            identity: offer.identity.to_owned(),
            token: said("voltgate-resumption"),
            sent: 0,
            received: 0,
            acknowledged: 0,
            inbound: response.into_inner(),
        })
    }

    /// The same socket on another stream, as the gateway opens one when the one before has broken. Returns the old one.
    pub async fn resume(&mut self, service: &Service) -> Result<OldStream, Status> {
        let open = OpenRequest {
            identity: self.identity.clone(),
            resumption: Some(Resumption {
                token: self.token.clone(),
                received: self.received,
                sent: self.sent,
            }),
        };
        let token = service.gateway_token();
        let (outbound, response) = open_stream(service.channel.clone(), &token, open, MetadataMap::new()).await?;
        Ok(OldStream {
            outbound: std::mem::replace(&mut self.outbound, outbound),
            inbound: std::mem::replace(&mut self.inbound, response.into_inner()),
        })
    }

    /// Forgets that it has received frames after this one, as if the stream had broken before they came.
    pub fn has_received_only(&mut self, number: u64) {
        self.received = number;
    }

    /// Frames up to this one were given to a stream, which broke.
    pub fn has_sent(&mut self, number: u64) {
        self.sent = number;
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn sent(&self) -> u64 {
        self.sent
    }

    pub async fn send(&mut self, frame: &str) {
        self.sent += 1;
        self.send_again(self.sent, frame).await;
    }

    /// Sends a frame, if the service still listens.
    pub async fn try_send(&mut self, frame: &str) -> bool {
        self.sent += 1;
        let frame = FromStation {
            event: Some(from_station::Event::Frame(frame.to_owned())),
            number: self.sent,
        };
        self.outbound.send(frame).await.is_ok()
    }

    /// Sends a frame under a number that it had before.
    pub async fn send_again(&self, number: u64, frame: &str) {
        let frame = FromStation {
            event: Some(from_station::Event::Frame(frame.to_owned())),
            number,
        };
        self.outbound.send(frame).await.unwrap();
    }

    pub async fn receive(&mut self) -> Received {
        let message = timeout(PATIENCE, self.inbound.message())
            .await
            .expect("something comes in time");
        let Some(message) = message.ok().flatten() else {
            return Received::End;
        };
        self.received = self.received.max(message.number);
        self.acknowledged = self.acknowledged.max(message.acknowledged);
        match message.event {
            Some(to_station::Event::Frame(frame)) => Received::Frame(frame),
            Some(to_station::Event::Close(close)) => Received::Close(close),
            Some(to_station::Event::Leaving(leaving)) => Received::Leaving(leaving),
            None => Received::Acknowledged,
        }
    }

    /// What comes next besides acknowledgements.
    async fn receive_event(&mut self) -> Received {
        loop {
            match self.receive().await {
                Received::Acknowledged => {}
                event => return event,
            }
        }
    }

    pub async fn frame(&mut self) -> Value {
        match self.receive_event().await {
            Received::Frame(frame) => serde_json::from_str(&frame).unwrap(),
            other => panic!("a frame was due, not {other:?}"),
        }
    }

    /// Until the stream ends; the close frame, where there was one.
    pub async fn closed(&mut self) -> Option<Closed> {
        match self.receive_event().await {
            Received::Close(closed) => Some(closed),
            Received::End => None,
            other => panic!("the end was due, not {other:?}"),
        }
    }

    /// Waits until the service says that it leaves, and takes nothing more to it.
    pub async fn left(&mut self) {
        match self.receive_event().await {
            Received::Leaving(_) => {}
            other => panic!("the service was to leave, not {other:?}"),
        }
        let (nowhere, _) = mpsc::channel(1);
        self.outbound = nowhere;
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

    pub async fn answer(&mut self, id: &str, payload: Value) {
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
        assert!(self.try_hang_up().await);
    }

    /// As a socket that breaks, if the service still listens.
    pub async fn try_hang_up(self) -> bool {
        let closed = Closed {
            code: 1006,
            reason: String::new(),
        };
        let closed = FromStation {
            event: Some(from_station::Event::Closed(closed)),
            number: 0,
        };
        self.outbound.send(closed).await.is_ok()
    }
}

/// A stream that has a successor.
#[derive(Debug)]
pub struct OldStream {
    outbound: mpsc::Sender<FromStation>,
    inbound: Streaming<ToStation>,
}

impl OldStream {
    /// Sends a frame, if the service still listens.
    pub async fn try_send(&self, number: u64, frame: &str) {
        let frame = FromStation {
            event: Some(from_station::Event::Frame(frame.to_owned())),
            number,
        };
        let _gone = self.outbound.send(frame).await;
    }

    /// Waits for the end of the stream, before which nothing more may come.
    pub async fn ended(&mut self) {
        self.ended_in(PATIENCE).await;
    }

    pub async fn ended_in(&mut self, patience: Duration) {
        let end = timeout(patience, self.inbound.message())
            .await
            .expect("it ends in time");
        assert_eq!(end.unwrap(), None);
    }
}

/// Opens a stream as the gateway does.
async fn open_stream(
    channel: Channel,
    token: &str,
    open: OpenRequest,
    metadata: MetadataMap,
) -> Result<(mpsc::Sender<FromStation>, Response<Streaming<ToStation>>), Status> {
    let (outbound, frames) = mpsc::channel(64);
    let open = FromStation {
        event: Some(from_station::Event::Open(open)),
        number: 0,
    };
    outbound.send(open).await.unwrap();
    let mut request = Request::new(ReceiverStream::new(frames));
    *request.metadata_mut() = metadata;
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    let response = SessionServiceClient::new(channel).open(request).await?;
    Ok((outbound, response))
}

/// Posts one frame, as the gateway passes it on.
pub async fn exchange(
    service: &Service,
    identity: &str,
    password: &str,
    frame: &str,
) -> Result<Option<String>, Status> {
    post(service, identity, Some(basic(identity, password.as_bytes())), frame).await
}

/// Like [`exchange`], for a charge point that may have no password.
pub async fn post(
    service: &Service,
    identity: &str,
    authorization: Option<String>,
    frame: &str,
) -> Result<Option<String>, Status> {
    let mut request = Request::new(ExchangeRequest {
        identity: identity.to_owned(),
        frame: frame.to_owned(),
    });
    let metadata = request.metadata_mut();
    metadata.insert("authorization", service.gateway_token().parse().unwrap());
    if let Some(authorization) = authorization {
        metadata.insert("voltgate-authorization", authorization.parse().unwrap());
    }
    let answer = SessionServiceClient::new(service.channel.clone())
        .exchange(request)
        .await?;
    Ok(answer.into_inner().frame)
}
