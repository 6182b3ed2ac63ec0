//! The service at the other end of a charge point's socket: it lets in, answers frames by fixed rules, and can go on with a
//! session on another stream.

use async_trait::async_trait;
use service_kit::reason::Reason;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use voltgate_proto::ocpp::v1::session_service_server::SessionService;
use voltgate_proto::ocpp::v1::{self as ocpp, Closed, FromStation, ToStation, from_station, to_station};

use crate::peers::{Behind, Seen};

#[async_trait]
impl SessionService for Behind {
    type OpenStream = ReceiverStream<Result<ToStation, Status>>;

    async fn open(&self, request: Request<Streaming<FromStation>>) -> Result<Response<Self::OpenStream>, Status> {
        let (metadata, _, mut inbound) = request.into_parts();
        let Some(from_station::Event::Open(open)) = inbound.message().await?.and_then(|message| message.event) else {
            return Err(Status::invalid_argument("the first message must be open"));
        };
        self.saw(Seen::Open(open.clone(), metadata.clone()));
        match open.identity.as_str() {
            unknown if unknown.starts_with("unknown") => {
                return Err(Reason::NotFound.status("This charge point is not registered"));
            }
            "locked" if metadata.get("voltgate-authorization").is_none() => {
                return Err(Reason::StationUnauthorized.status("A password is required"));
            }
            "replaced" if open.resumption.is_some() => {
                return Err(Reason::SessionOver.status("A newer connection has taken over"));
            }
            _ => {}
        }
        let offered = metadata
            .get("voltgate-subprotocols")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if open.resumption.is_none() && !offered.split(',').any(|name| name.trim() == "ocpp1.6") {
            return Err(Reason::NoCommonSubprotocol.status("None of the subprotocols offered is spoken here"));
        }
        let (outbound, frames) = mpsc::channel(4);
        let conversation = Conversation {
            report: self.report.clone(),
            last_sent: open.resumption.map_or(0, |resumption| resumption.received),
            outbound,
        };
        tokio::spawn(conversation.hold(inbound));
        let mut response = Response::new(ReceiverStream::new(frames));
        let metadata = response.metadata_mut();
        metadata.insert("voltgate-subprotocol", "ocpp1.6".parse().unwrap());
        if open.identity != "forgetful" {
            metadata.insert("voltgate-resumption", TOKEN.parse().unwrap());
        }
        Ok(response)
    }

    async fn exchange(
        &self,
        request: Request<ocpp::ExchangeRequest>,
    ) -> Result<Response<ocpp::ExchangeResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.saw(Seen::Call(metadata.clone()));
        match request.identity.as_str() {
            "unknown" => return Err(Reason::NotFound.status("This charge point is not registered")),
            "locked" if metadata.get("voltgate-authorization").is_none() => {
                return Err(Reason::StationUnauthorized.status("A password is required"));
            }
            _ => {}
        }
        let frame = (request.frame != "keep quiet").then(|| format!("heard: {}", request.frame));
        self.saw(Seen::Frame(0, format!("{} {}", request.identity, request.frame)));
        Ok(Response::new(ocpp::ExchangeResponse { frame }))
    }
}

/// By which a session can be resumed.
pub const TOKEN: &str = "the token of a session";

struct Conversation {
    report: mpsc::UnboundedSender<Seen>,
    outbound: mpsc::Sender<Result<ToStation, Status>>,
    last_sent: u64,
}

impl Conversation {
    /// Answers frames until the station, or a frame of its own asking for it, ends the conversation.
    async fn hold(mut self, mut inbound: Streaming<FromStation>) {
        while let Some(Ok(message)) = inbound.next().await {
            let Some(event) = message.event else {
                return;
            };
            let goes_on = match event {
                from_station::Event::Open(_) => self.say(Err(Status::invalid_argument("open came twice"))).await,
                from_station::Event::Closed(closed) => {
                    self.saw(Seen::Closed(closed));
                    Some(())
                }
                from_station::Event::Frame(text) => self.answer(message.number, text).await,
            };
            if goes_on.is_none() {
                return;
            }
        }
        self.saw(Seen::End);
    }

    async fn answer(&mut self, number: u64, text: String) -> Option<()> {
        self.saw(Seen::Frame(number, text.clone()));
        match text.as_str() {
            "close me" | "close me and listen" => {
                let closed = Closed {
                    code: 1008,
                    reason: "Superseded".into(),
                };
                self.event(to_station::Event::Close(closed), number).await?;
                (text == "close me and listen").then_some(())
            }
            "end" => {
                self.acknowledge(number).await?;
                None
            }
            "fail" => {
                self.acknowledge(number).await?;
                self.say(Err(Status::internal("the session failed"))).await?;
                None
            }
            "leave" => self.event(to_station::Event::Leaving(ocpp::Leaving {}), number).await,
            "keep quiet" => Some(()),
            "stop reading" => std::future::pending().await,
            "talk much" => {
                for turn in 0..1000 {
                    self.frame(turn.to_string(), number).await?;
                }
                Some(())
            }
            _ => self.frame(format!("heard: {text}"), number).await,
        }
    }

    async fn frame(&mut self, text: String, acknowledged: u64) -> Option<()> {
        self.last_sent += 1;
        let message = ToStation {
            event: Some(to_station::Event::Frame(text)),
            number: self.last_sent,
            acknowledged,
        };
        self.say(Ok(message)).await
    }

    async fn acknowledge(&self, acknowledged: u64) -> Option<()> {
        self.say(Ok(ToStation {
            acknowledged,
            ..Default::default()
        }))
        .await
    }

    async fn event(&self, event: to_station::Event, acknowledged: u64) -> Option<()> {
        let message = ToStation {
            event: Some(event),
            number: 0,
            acknowledged,
        };
        self.say(Ok(message)).await
    }

    async fn say(&self, message: Result<ToStation, Status>) -> Option<()> {
        self.outbound.send(message).await.ok()
    }

    fn saw(&self, seen: Seen) {
        let _test_is_over = self.report.send(seen);
    }
}
