//! The service's end: the gRPC stream of one charge point.

use std::time::Duration;

use http::uri::PathAndQuery;
use service_kit::reason::{Reason, internal};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use voltgate_proto::ocpp::v1::{FromStation, OpenRequest, ToStation, from_station};

use crate::upstream::{Line, Upstream, explain};

/// Messages that may wait for the service. More than a few would only hide that it is slow.
const WAITING: usize = 4;

/// Metadata of the call, as `voltgate.ocpp.v1.SessionService` documents it.
pub const SUBPROTOCOLS: &str = "voltgate-subprotocols";
pub const STATION_AUTHORIZATION: &str = "voltgate-authorization";
pub const PEER: &str = "voltgate-peer";
const SUBPROTOCOL: &str = "voltgate-subprotocol";

/// The service's end.
#[derive(Debug)]
pub struct ServiceStream {
    pub to_service: mpsc::Sender<FromStation>,
    pub from_service: Streaming<ToStation>,
    /// The socket's place at the replica, held for as long as the stream lives.
    _line: Line,
}

/// What the service is told before there is a socket.
#[derive(Debug)]
pub struct Opening {
    pub path: PathAndQuery,
    pub identity: String,
    pub metadata: MetadataMap,
    pub budget: Duration,
}

impl ServiceStream {
    /// Opens the stream, and returns it with the subprotocol that the service chose, if any.
    ///
    /// # Errors
    /// The service refuses the charge point, or does not answer.
    pub async fn open(upstream: &Upstream, opening: Opening) -> Result<(Self, Option<String>), Status> {
        let (to_service, messages) = mpsc::channel(WAITING);
        let open = FromStation {
            event: Some(from_station::Event::Open(OpenRequest {
                identity: opening.identity,
            })),
        };
        to_service.send(open).await.map_err(|error| internal(&error))?;
        let request = Request::from_parts(
            opening.metadata,
            tonic::Extensions::new(),
            ReceiverStream::new(messages),
        );
        let call = async {
            let line = upstream.for_socket().await?;
            let mut client = tonic::client::Grpc::new(line.channel());
            client.ready().await.map_err(|error| Status::from_error(error.into()))?;
            let result = client.streaming(request, opening.path, ProstCodec::default()).await;
            let response = result.inspect_err(|status| line.judge(status))?;
            Ok((response, line))
        };
        // No `grpc-timeout`: the stream itself lives as long as the socket.
        let (response, line) = match timeout(opening.budget, call).await {
            Ok(result) => result.map_err(|status| explain(upstream.name(), status))?,
            Err(_) => return Err(Reason::DeadlineExceeded.status("The service did not answer in time")),
        };
        let subprotocol = response
            .metadata()
            .get(SUBPROTOCOL)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let stream = Self {
            to_service,
            from_service: response.into_inner(),
            _line: line,
        };
        Ok((stream, subprotocol))
    }
}

/// Puts a header's value into the metadata, where it is one that metadata can hold.
pub fn put(metadata: &mut MetadataMap, name: &'static str, value: &[u8]) {
    if let Ok(value) = MetadataValue::try_from(value) {
        metadata.insert(name, value);
    }
}
