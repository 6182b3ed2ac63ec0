//! A charge point's connection: one stream from the gateway, from the handshake to the last frame.
//!
//! The gateway opens the stream before it answers the charge point's upgrade, so that a refusal is an HTTP status and no
//! socket comes to be. Frames cross unparsed in both directions; nothing outside this module and the folder of each
//! version knows what is in them.
//!
//! The socket outlives the stream: when this process ends, or the way to it, the gateway resumes the session on another
//! stream, here or at another replica (`voltgate.ocpp.v1.SessionService` has the protocol).

pub mod advice;
pub mod answer;
mod certificate;
pub mod consult;
mod conversation;
mod credentials;
pub mod ending;
pub mod failures;
pub mod fence;
mod handshake;
mod inbox;
pub mod pace;
pub mod resumption;
mod stranger;
pub mod takeover;

use std::sync::Arc;
use std::time::Duration;

use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};
use voltgate_proto::ocpp::v1::session_service_server::SessionService;
use voltgate_proto::ocpp::v1::{ExchangeRequest, ExchangeResponse, FromStation, OpenRequest, ToStation, from_station};

use self::conversation::Entry;
use self::handshake::{Offer, Refusal};
use self::inbox::Inbox;
use self::resumption::{Resumption, Token};
use crate::State;

/// How long the gateway may take to say whose connection it is.
const OPENING: Duration = Duration::from_secs(10);

/// Frames on their way to a charge point that does not read as fast as we write.
const OUTBOUND_FRAMES: usize = 8;

/// What somebody can speak who does not say what.
const EVERY_VERSION: &str = "ocpp1.6";

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl SessionService for Grpc {
    type OpenStream = ReceiverStream<Result<ToStation, Status>>;

    async fn open(&self, request: Request<Streaming<FromStation>>) -> Result<Response<Self::OpenStream>, Status> {
        let (metadata, _, mut inbound) = request.into_parts();
        let open = first_message(&mut inbound).await?;
        let token = Token::generate();
        let (admitted, entry) = match open.resumption {
            None => {
                let offer = offer(&metadata, open.identity);
                (handshake::admit(&self.0, offer).await?, Entry::New(token.hash()))
            }
            Some(resumption) => {
                let resumption = Resumption::from(resumption);
                let admitted = handshake::readmit(&self.0, &open.identity, &resumption.token).await?;
                (admitted, Entry::Resumed(resumption))
            }
        };
        let is_new = matches!(entry, Entry::New(_));
        let version = admitted.version;

        let (outbound, frames) = mpsc::channel(OUTBOUND_FRAMES);
        let (begin, begun) = oneshot::channel();
        // Not part of this call: should the gateway hang up just now, the session must still end in good order.
        self.0.tasks.spawn(conversation::run(
            Arc::clone(&self.0),
            admitted,
            entry,
            Inbox::new(inbound),
            outbound,
            begin,
        ));
        begun.await.map_err(|closed| reason::internal(&closed))??;
        let mut response = Response::new(ReceiverStream::new(frames));
        let metadata = response.metadata_mut();
        metadata.insert(
            "voltgate-subprotocol",
            MetadataValue::from_static(version.subprotocol()),
        );
        if is_new {
            let token = MetadataValue::try_from(token.as_str()).map_err(|error| reason::internal(&error))?;
            metadata.insert("voltgate-resumption", token);
        }
        Ok(response)
    }

    async fn exchange(&self, request: Request<ExchangeRequest>) -> Result<Response<ExchangeResponse>, Status> {
        let (metadata, _, ExchangeRequest { identity, frame }) = request.into_parts();
        let mut offer = offer(&metadata, identity);
        if offer.subprotocols.is_empty() {
            EVERY_VERSION.clone_into(&mut offer.subprotocols);
        }
        let admitted = handshake::admit(&self.0, offer).await?;
        let frame = conversation::exchange(Arc::clone(&self.0), admitted, &frame).await?;
        Ok(Response::new(ExchangeResponse { frame }))
    }
}

async fn first_message(inbound: &mut Streaming<FromStation>) -> Result<OpenRequest, Status> {
    let first = timeout(OPENING, inbound.message())
        .await
        .map_err(|_| Reason::DeadlineExceeded.status("The stream did not say whose connection it is"))??;
    match first.and_then(|message| message.event) {
        Some(from_station::Event::Open(open)) => Ok(open),
        Some(from_station::Event::Frame(_) | from_station::Event::Closed(_)) | None => {
            Err(reason::invalid(vec![FieldViolation::new(
                "open",
                "must be the first message",
            )]))
        }
    }
}

fn offer(metadata: &MetadataMap, identity: String) -> Offer {
    let text = |name| {
        metadata
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    Offer {
        identity,
        subprotocols: text("voltgate-subprotocols").unwrap_or_default(),
        authorization: text("voltgate-authorization"),
        peer: text("voltgate-peer"),
        tls: metadata.contains_key("voltgate-tls"),
        certificate: metadata
            .get_bin("voltgate-certificate-bin")
            .and_then(|value| value.to_bytes().ok())
            .map(|der| der.to_vec()),
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Stopping => Reason::Unavailable.status("This replica is about to stop"),
            // To strangers both look alike.
            Refusal::UnknownChargePoint | Refusal::Retired => {
                Reason::NotFound.status("There is no charge point of this identity")
            }
            Refusal::Outdated => {
                Reason::NotFound.status("The charge point was given another identity or device meanwhile")
            }
            Refusal::NoCredentials
            | Refusal::WrongCredentials
            | Refusal::UnsecuredNotAllowed
            | Refusal::NeedsTls
            | Refusal::NoCertificate
            | Refusal::WrongCertificate(_) => Reason::StationUnauthorized.status(refusal.to_string()),
            Refusal::Superseded => Reason::SessionOver.status("A newer connection has taken over"),
            Refusal::NoCommonSubprotocol => {
                Reason::NoCommonSubprotocol.status("None of the subprotocols offered is spoken here; ocpp1.6 is")
            }
            Refusal::Database(error) => database::failed(&error),
        }
    }
}
