//! One REST request: who asks, what they ask, and the answer.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use service_kit::reason::{Reason, internal};
use tokio::time::timeout;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::client::Client;
use crate::gateway::Gateway;
use crate::headers;
use crate::media_type::{self, Accept};
use crate::request_id::{self, RequestId};
use crate::routes::Endpoint;
use crate::transcode::{self, Input};
use crate::upstream::{self, Call, Upstream};

/// Bodies may be this large, in bytes; those for accounts and tokens less.
const LARGEST_BODY: usize = 1024 * 1024;
const LARGEST_AUTH_BODY: usize = 64 * 1024;

/// A body must be here within this time.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Serves a request of an endpoint with one answer.
///
/// # Errors
/// The status that the client gets to see as problem+json.
pub async fn serve(
    gateway: &Gateway,
    endpoint: &Endpoint,
    variables: &[String],
    request: Request,
) -> Result<Response, Status> {
    check_accept(endpoint, request.headers())?;
    let (upstream, call) = call(gateway, endpoint, variables, request).await?;
    let (metadata, message, _) = upstream::unary(upstream, call).await?.into_parts();
    respond(gateway, endpoint, &message, &metadata.into_headers())
}

/// The call that a request means, and the service that it goes to.
///
/// # Errors
/// The caller may not call it, or the request is not one of the endpoint's.
pub async fn call<'g>(
    gateway: &'g Gateway,
    endpoint: &Endpoint,
    variables: &[String],
    request: Request,
) -> Result<(&'g Upstream, Call), Status> {
    let (parts, body) = request.into_parts();
    // Before the body is read: a stranger's megabyte need not come in.
    admit(gateway, endpoint, &parts).await?;
    let body = read_body(body, largest_body(endpoint)).await?;
    call_with(gateway, endpoint, variables, &parts, body)
}

/// # Errors
/// The caller may not call it. The service decides again.
pub async fn admit(gateway: &Gateway, endpoint: &Endpoint, parts: &Parts) -> Result<(), Status> {
    let access = &gateway.access;
    access.admit(endpoint.grpc_path.as_str(), &parts.headers).await?;
    Ok(())
}

/// The call that a request with this body means, and the service that it goes to.
///
/// # Errors
/// The request is not one of the endpoint's.
pub fn call_with<'g>(
    gateway: &'g Gateway,
    endpoint: &Endpoint,
    variables: &[String],
    parts: &Parts,
    body: Bytes,
) -> Result<(&'g Upstream, Call), Status> {
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let input = Input {
        variables,
        query: parts.uri.query(),
        content_type,
        body,
    };
    let message = transcode::message(endpoint, &gateway.raw_json, input)?;
    let upstream = gateway.upstreams.get(&endpoint.upstream);
    let upstream = upstream.ok_or_else(|| Reason::Unavailable.status("The service is not set up here"))?;
    let mut metadata = headers::to_service(&parts.headers);
    if parts.method == Method::HEAD {
        metadata.insert(headers::METHOD, HeaderValue::from_static("HEAD"));
    }
    if let Some(id) = parts.extensions.get::<RequestId>() {
        metadata.insert(request_id::HEADER, id.header());
    }
    if let Some(client) = parts.extensions.get::<Client>() {
        gateway.reporter.tell(client, &mut metadata)?;
    }
    let call = Call {
        path: endpoint.grpc_path.clone(),
        message: message.encode_to_vec().into(),
        metadata: MetadataMap::from_headers(metadata),
        budget: endpoint.timeout.unwrap_or(gateway.request_timeout),
        idempotent: endpoint.options.idempotent,
    };
    Ok((upstream, call))
}

/// Refuses before anything is done. An answer of bytes is left to its service, which gets the header and knows what it has.
pub fn check_accept(endpoint: &Endpoint, headers: &HeaderMap) -> Result<(), Status> {
    if endpoint.answer.is_raw() || Accept::of(headers).choose(&[media_type::JSON]).is_some() {
        return Ok(());
    }
    Err(Reason::NotAcceptable.status(format!("The answer would be {}", media_type::JSON)))
}

fn largest_body(endpoint: &Endpoint) -> usize {
    if endpoint.template.to_string().starts_with("/auth/") {
        LARGEST_AUTH_BODY
    } else {
        LARGEST_BODY
    }
}

pub async fn read_body(body: Body, largest: usize) -> Result<Bytes, Status> {
    match timeout(BODY_TIMEOUT, Limited::new(body, largest).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Reason::PayloadTooLarge.status(format!("The body may have {largest} bytes")))
        }
        Ok(Err(_)) => Err(Reason::InvalidRequest.status("The body broke off")),
        Err(_) => Err(Reason::RequestTimeout.status("The body did not arrive in time")),
    }
}

/// The response of a call that was answered with this message.
///
/// # Errors
/// The message is none of the endpoint's, or cannot be written.
pub fn respond(
    gateway: &Gateway,
    endpoint: &Endpoint,
    message: &Bytes,
    metadata: &HeaderMap,
) -> Result<Response, Status> {
    let message = DynamicMessage::decode(endpoint.rpc.output(), message.as_ref()).map_err(|error| internal(&error))?;
    let answer = transcode::answer(&endpoint.answer, &message, &gateway.raw_json).map_err(|error| internal(&error))?;
    success(endpoint, metadata, &answer.content_type, Body::from(answer.body))
}

/// The response of a call that succeeded.
///
/// # Errors
/// The service gave a content type that no header can hold.
pub fn success(endpoint: &Endpoint, metadata: &HeaderMap, content_type: &str, body: Body) -> Result<Response, Status> {
    let content_type = HeaderValue::from_str(content_type).map_err(|error| internal(&error))?;
    let mut response = Response::new(body);
    *response.status_mut() = match endpoint.success {
        // What the service calls a part is one.
        StatusCode::OK if metadata.contains_key(header::CONTENT_RANGE) => StatusCode::PARTIAL_CONTENT,
        success => success,
    };
    let headers = response.headers_mut();
    headers.extend(headers::to_client(metadata));
    // There is nothing to have a type (RFC 9110, section 15.3.5).
    if endpoint.success != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if endpoint.options.no_store {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}
