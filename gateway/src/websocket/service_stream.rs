//! The service's end: the gRPC stream of one charge point.

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message as _;
use service_kit::reason::{Reason, internal};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::Codec;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Status, Streaming};
use tonic_prost::{ProstCodec, ProstDecoder};
use voltgate_proto::ocpp::v1::{FromStation, OpenRequest, Resumption, ToStation, from_station};

use crate::upstream::{Encoded, Line, Upstream, explain, too_late};

/// Messages that may wait for the service. More than a few would only hide that it is slow.
const WAITING: usize = 4;

/// Metadata of the call, as `voltgate.ocpp.v1.SessionService` documents it.
pub const SUBPROTOCOLS: &str = "voltgate-subprotocols";
pub const STATION_AUTHORIZATION: &str = "voltgate-authorization";
pub const PEER: &str = "voltgate-peer";
pub const TLS: &str = "voltgate-tls";
pub const CERTIFICATE: &str = "voltgate-certificate-bin";
const SUBPROTOCOL: &str = "voltgate-subprotocol";
const RESUMPTION: &str = "voltgate-resumption";

/// A stream to and from the service.
#[derive(Debug)]
pub struct ServiceStream {
    /// Encoded `FromStation`s: one that is held to be sent again is encoded once.
    pub to_service: mpsc::Sender<Bytes>,
    pub from_service: FromService,
}

/// The half of a stream that comes from the service.
#[derive(Debug)]
pub struct FromService {
    messages: Streaming<ToStation>,
    /// The socket's place at the replica, held for as long as the stream lives.
    line: Line,
}

impl FromService {
    /// The next message; none where the service ended the stream. Nothing is lost when it is dropped.
    ///
    /// # Errors
    /// The stream broke.
    pub async fn message(&mut self) -> Result<Option<ToStation>, Status> {
        let message = self.messages.message().await;
        message.inspect_err(|status| self.line.judge(status))
    }

    /// The replica says that it leaves.
    pub fn leaving(&self) {
        self.line.leaving();
    }
}

/// What the service is told of a socket.
#[derive(Debug)]
pub struct Opening {
    pub path: PathAndQuery,
    pub identity: String,
    /// Where the socket exists already.
    pub resumption: Option<Resumption>,
    pub metadata: MetadataMap,
    pub budget: Duration,
}

impl ServiceStream {
    /// Opens the stream, and returns it with what the service says to it.
    ///
    /// # Errors
    /// The service refuses the charge point, or does not answer.
    pub async fn open(upstream: &Upstream, opening: Opening) -> Result<(Self, Opened), Status> {
        let (to_service, messages) = mpsc::channel(WAITING);
        let open = FromStation {
            event: Some(from_station::Event::Open(OpenRequest {
                identity: opening.identity,
                resumption: opening.resumption,
            })),
            ..Default::default()
        };
        let open = open.encode_to_vec().into();
        to_service.send(open).await.map_err(|error| internal(&error))?;
        let request = Request::from_parts(
            opening.metadata,
            tonic::Extensions::new(),
            ReceiverStream::new(messages),
        );
        let began = Instant::now();
        let line = timeout(opening.budget, upstream.for_socket());
        let line = line.await.map_err(|_| too_late())??;
        let call = async {
            let mut client = tonic::client::Grpc::new(line.channel());
            client.ready().await.map_err(|error| Status::from_error(error.into()))?;
            client.streaming(request, opening.path, Frames).await
        };
        // No `grpc-timeout`: the stream itself lives as long as the socket.
        let response = match timeout_at(began + opening.budget, call).await {
            Ok(Ok(response)) => response,
            Ok(Err(status)) => {
                line.judge(&status);
                if Reason::of(&status) == Reason::Unavailable {
                    line.leaving();
                }
                return Err(explain(upstream.name(), status));
            }
            Err(_) => {
                line.failed();
                return Err(too_late());
            }
        };
        let said = |name| {
            let value = response.metadata().get(name);
            value.and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let opened = Opened {
            subprotocol: said(SUBPROTOCOL),
            resumption: said(RESUMPTION),
        };
        let stream = Self {
            to_service,
            from_service: FromService {
                messages: response.into_inner(),
                line,
            },
        };
        Ok((stream, opened))
    }

    /// Ends our side. What the service has still to say can be heard.
    pub fn end(self) -> FromService {
        self.from_service
    }
}

/// What the service says when it opens a stream.
#[derive(Debug)]
pub struct Opened {
    /// The subprotocol that it chose, if any.
    pub subprotocol: Option<String>,
    /// The token by which the session can be resumed on another stream.
    pub resumption: Option<String>,
}

/// `FromStation`s encoded already, and `ToStation`s.
#[derive(Clone, Copy, Debug)]
struct Frames;

impl Codec for Frames {
    type Encode = Bytes;
    type Decode = ToStation;
    type Encoder = Encoded;
    type Decoder = ProstDecoder<ToStation>;

    fn encoder(&mut self) -> Encoded {
        Encoded
    }

    fn decoder(&mut self) -> ProstDecoder<ToStation> {
        ProstCodec::<ToStation, ToStation>::default().decoder()
    }
}

/// Puts a header's value into the metadata, where it is one that metadata can hold.
pub fn put(metadata: &mut MetadataMap, name: &'static str, value: &[u8]) {
    if let Ok(value) = MetadataValue::try_from(value) {
        metadata.insert(name, value);
    }
}
