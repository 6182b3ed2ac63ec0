//! One REST request: who asks, what they ask, and the answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode, Version};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use service_kit::reason::{self, Reason, internal};
use tokio::time::timeout;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::client::Client;
use crate::export;
use crate::gateway::Gateway;
use crate::headers;
use crate::json::{self, Mask};
use crate::media_type::{self, Accept};
use crate::request_id::{self, RequestId};
use crate::routes::{AnswerBody, Endpoint};
use crate::transcode::{self, Input};
use crate::upstream::{self, Call, LARGEST_ANSWER, Upstream};
use crate::watchdog;

/// Bodies may be this large, in bytes; those for accounts and tokens less.
const LARGEST_BODY: usize = 1024 * 1024;
const LARGEST_AUTH_BODY: usize = 64 * 1024;

/// A body must be here within this time.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// A request that has been read: what it asks for, and on whose behalf.
pub struct Asked {
    pub upstream: Arc<Upstream>,
    pub message: DynamicMessage,
    /// What of the answer is wanted; nothing where that is all of it.
    pub mask: Option<Mask>,
    /// As the client sent them.
    pub headers: HeaderMap,
    pub id: RequestId,
    pub version: Version,
    method: Method,
    client: Option<Client>,
}

impl Asked {
    /// The call that it means. One made later says anew, and with newer proof, who the client is.
    ///
    /// # Errors
    /// No proof can be made.
    pub fn call(&self, gateway: &Gateway, endpoint: &Endpoint) -> Result<Call, Status> {
        let mut metadata = headers::to_service(&self.headers);
        metadata.insert(request_id::HEADER, self.id.header());
        if self.method == Method::HEAD {
            metadata.insert(headers::METHOD, HeaderValue::from_static("HEAD"));
        }
        if let Some(client) = &self.client {
            gateway.reporter.tell(client, &mut metadata)?;
        }
        Ok(Call {
            path: endpoint.grpc_path.clone(),
            message: self.message.encode_to_vec().into(),
            metadata: MetadataMap::from_headers(metadata),
            budget: endpoint.timeout.unwrap_or(gateway.request_timeout),
            idempotent: endpoint.options.idempotent,
            largest: LARGEST_ANSWER,
        })
    }
}

/// What an answer looks like to its client.
enum Form {
    /// JSON, or bytes of the service's own.
    Whole,
    File(export::Form),
}

/// Serves a request of an endpoint with one answer.
///
/// # Errors
/// The status that the client gets to see as problem+json.
pub async fn serve(
    gateway: &Gateway,
    endpoint: &Arc<Endpoint>,
    variables: &[String],
    request: Request,
) -> Result<Response, Status> {
    let form = choose(endpoint, request.headers())?;
    let mut asked = ask(gateway, endpoint, variables, request).await?;
    let answer = match (form, &endpoint.listing) {
        (Form::File(form), Some(listing)) => return export::serve(gateway, endpoint, listing, form, asked).await,
        (Form::Whole, Some(listing)) => export::ask(gateway, endpoint, listing, &mut asked, LARGEST_ANSWER).await?,
        (_, None) => upstream::unary(&asked.upstream, asked.call(gateway, endpoint)?).await?,
    };
    let (metadata, message, _) = answer.into_parts();
    respond(gateway, endpoint, asked.mask, &message, &metadata.into_headers())
}

/// What a request asks for whose caller was let in (`admission`).
///
/// # Errors
/// The request is not one of the endpoint's.
pub async fn ask(
    gateway: &Gateway,
    endpoint: &Endpoint,
    variables: &[String],
    request: Request,
) -> Result<Asked, Status> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, largest_body(endpoint)).await?;
    ask_with(gateway, endpoint, variables, parts, body)
}

/// What a request with this body asks for.
///
/// # Errors
/// The request is not one of the endpoint's.
pub fn ask_with(
    gateway: &Gateway,
    endpoint: &Endpoint,
    variables: &[String],
    parts: Parts,
    body: Bytes,
) -> Result<Asked, Status> {
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
    let mask = transcode::selection(endpoint, parts.uri.query().unwrap_or_default()).map_err(reason::invalid)?;
    let upstream = gateway.upstreams.get(&endpoint.upstream);
    let upstream = upstream.ok_or_else(|| Reason::Unavailable.status("The service is not set up here"))?;
    Ok(Asked {
        upstream: Arc::clone(upstream),
        message,
        mask,
        id: parts.extensions.get::<RequestId>().cloned().unwrap_or_default(),
        client: parts.extensions.get::<Client>().cloned(),
        version: parts.version,
        method: parts.method,
        headers: parts.headers,
    })
}

/// Refuses what the answer has no form for.
pub fn check_accept(endpoint: &Endpoint, headers: &HeaderMap) -> Result<(), Status> {
    choose(endpoint, headers).map(drop)
}

/// Whether a request wants the rows of a list in a file.
pub fn wants_file(endpoint: &Endpoint, headers: &HeaderMap) -> bool {
    endpoint.listing.is_some()
        && headers.contains_key(header::ACCEPT)
        && matches!(choose(endpoint, headers), Ok(Form::File(_)))
}

/// Refuses before anything is done. An answer of bytes is left to its service, which gets the header and knows what it has.
fn choose(endpoint: &Endpoint, headers: &HeaderMap) -> Result<Form, Status> {
    if endpoint.answer.is_raw() {
        return Ok(Form::Whole);
    }
    let offered = match endpoint.listing {
        Some(_) => &[media_type::JSON, media_type::CSV, media_type::LINES][..],
        None => &[media_type::JSON],
    };
    match Accept::of(headers).choose(offered) {
        Some(media_type::CSV) => Ok(Form::File(export::Form::Csv)),
        Some(media_type::LINES) => Ok(Form::File(export::Form::Lines)),
        Some(_) => Ok(Form::Whole),
        None => Err(Reason::NotAcceptable.status(format!("The answer would be {}", offered.join(" or ")))),
    }
}

fn largest_body(endpoint: &Endpoint) -> usize {
    if endpoint.label.starts_with("/auth/") {
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
    mask: Option<Mask>,
    message: &Bytes,
    metadata: &HeaderMap,
) -> Result<Response, Status> {
    if mask.is_none()
        && matches!(endpoint.answer, AnswerBody::Whole)
        && let Some(json) = json::write_encoded(&gateway.layouts, &endpoint.rpc.output(), message)
    {
        return success(endpoint, metadata, media_type::JSON, whole(gateway, json.into()));
    }
    let message = DynamicMessage::decode(endpoint.rpc.output(), message.as_ref()).map_err(|error| internal(&error))?;
    let mask = match (mask, &endpoint.listing) {
        (Some(mask), Some(listing)) => Some(mask.for_each(&endpoint.rpc.output(), &listing.rows)),
        (mask, _) => mask,
    };
    let answer = transcode::answer(&endpoint.answer, &message, mask.as_ref(), &gateway.raw_json);
    let answer = answer.map_err(|error| internal(&error))?;
    success(endpoint, metadata, &answer.content_type, whole(gateway, answer.body))
}

/// A body that is here. Whoever asks for much and does not take it is not given the memory for good.
fn whole(gateway: &Gateway, bytes: Bytes) -> Body {
    let size = bytes.len();
    watchdog::guard_large(Body::from(bytes), size, gateway.stall, &gateway.tasks)
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
    // Under the same URL there are other forms of it.
    if endpoint.listing.is_some() {
        headers.append(header::VARY, HeaderValue::from_static("accept"));
    }
    if endpoint.options.no_store {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}
