//! Lets a charge point in, or says why not. The service is asked first; a socket exists only if it agrees.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderMap};
use service_kit::access::CALLER;
use service_kit::reason::{Reason, internal};
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};

use super::handshake::{Handshake, offered_subprotocols};
use super::link::Link;
use super::pump::Pump;
use super::service_stream::{self, Opening, ServiceStream};
use super::session::Session;
use crate::admission;
use crate::client::Client;
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::request_id::{self, RequestId};
use crate::routes::Endpoint;
use crate::server::{Peer, TlsSession};

/// Answers a request at the door.
///
/// # Errors
/// The request is not for a WebSocket, comes from a foreign page, or the service refuses it.
pub async fn admit(
    gateway: &Gateway,
    endpoint: &Endpoint,
    variables: &[String],
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let handshake = Handshake::read(&mut parts, gateway.largest_message).await?;
    if !gateway.origins.admit(&parts.headers) {
        return Err(Reason::PermissionDenied
            .status("Pages of this origin may not connect")
            .into());
    }
    if gateway.draining.is_cancelled() {
        return Err(Reason::Unavailable.status("The gateway is shutting down").into());
    }
    let upstream = gateway.upstreams.get(&endpoint.upstream);
    let upstream = upstream.ok_or_else(|| Reason::Unavailable.status("The service is not set up here"))?;
    let peer = parts.extensions.get::<Peer>().cloned();
    let client = parts.extensions.get::<Client>().cloned();
    let tls = tls(gateway, client.as_ref()).map_err(refused)?;
    let offered = offered_subprotocols(&parts.headers);
    let opening = Opening {
        path: endpoint.grpc_path.clone(),
        identity: variables.first().cloned().unwrap_or_default(),
        resumption: None,
        metadata: metadata(gateway, &parts, tls.as_ref(), client.as_ref(), &offered)?,
        budget: gateway.request_timeout,
    };
    let identity = opening.identity.clone();
    let (service, opened) = ServiceStream::open(upstream, opening).await.map_err(refused)?;
    gateway.limits.prove(&identity, admission::address(&parts.extensions));
    check_subprotocol(&offered, opened.subprotocol.as_deref())?;

    let (response, upgraded) = handshake.accept(opened.subprotocol.as_deref())?;
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default();
    let session = opened.resumption.map(|token| Session {
        gateway: gateway.clone(),
        upstream: Arc::clone(upstream),
        path: endpoint.grpc_path.clone(),
        identity,
        token,
        client,
        request_id: id.clone(),
    });
    let link = Link::new(service, session);
    gateway.sockets.spawn(&id, |surroundings| async move {
        // Held as long as the socket lives: a socket is a connection like any other.
        let _peer = peer;
        match upgraded.socket().await {
            Some(socket) => Pump::new(socket, link, surroundings).run().await,
            None => super::pump::tell_lost(link).await,
        }
    });
    Ok(response)
}

/// The TLS that a charge point speaks.
pub(super) fn tls(gateway: &Gateway, client: Option<&Client>) -> Result<Option<TlsSession>, Status> {
    client.map_or(Ok(None), |client| client.tls(gateway))
}

/// What the service is told besides the identity.
pub(super) fn metadata(
    gateway: &Gateway,
    parts: &http::request::Parts,
    tls: Option<&TlsSession>,
    client: Option<&Client>,
    offered: &str,
) -> Result<MetadataMap, Status> {
    let mut told = HeaderMap::new();
    if let Some(client) = client {
        gateway.reporter.tell(client, &mut told)?;
    }
    let mut metadata = MetadataMap::from_headers(told);
    let bearer = gateway.service_tokens.bearer().map_err(|error| internal(&error))?;
    service_stream::put(&mut metadata, "authorization", bearer.as_bytes());
    service_stream::put(&mut metadata, CALLER, crate::NAME.as_bytes());
    service_stream::put(&mut metadata, service_stream::SUBPROTOCOLS, offered.as_bytes());
    if let Some(credentials) = parts.headers.get(header::AUTHORIZATION) {
        service_stream::put(
            &mut metadata,
            service_stream::STATION_AUTHORIZATION,
            credentials.as_bytes(),
        );
    }
    if let Some(client) = client {
        let address = client.address.to_string();
        service_stream::put(&mut metadata, service_stream::PEER, address.as_bytes());
    }
    if let Some(tls) = tls {
        service_stream::put(&mut metadata, service_stream::TLS, tls.version.as_bytes());
        if let Some(certificate) = &tls.certificate {
            metadata.insert_bin(service_stream::CERTIFICATE, MetadataValue::from_bytes(certificate));
        }
    }
    if let Some(id) = parts.extensions.get::<RequestId>() {
        service_stream::put(&mut metadata, request_id::NAME, id.as_str().as_bytes());
    }
    Ok(metadata)
}

/// The service's refusal, for the station. One of our own token is none of the station's business.
pub(super) fn refused(status: Status) -> Problem {
    match Reason::of(&status) {
        Reason::InvalidToken | Reason::MissingCredentials => {
            tracing::error!(
                message = status.message(),
                "The service does not take our token; is SERVICE_SECRET the same?"
            );
            Reason::Unavailable
                .status("The service behind this endpoint cannot be reached just now")
                .into()
        }
        _ => Problem::from(status).for_station(),
    }
}

/// A client must be given one of the subprotocols that it offered, or none if it offered none.
fn check_subprotocol(offered: &str, chosen: Option<&str>) -> Result<(), Status> {
    let Some(chosen) = chosen else {
        return Ok(());
    };
    if offered.split(',').any(|name| name.trim() == chosen) {
        return Ok(());
    }
    tracing::error!(chosen, offered, "The service chose a subprotocol that was not offered");
    Err(Reason::Internal.status("The subprotocol could not be agreed on"))
}
