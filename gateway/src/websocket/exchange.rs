//! The HTTP binding: one frame by POST, and the frame that answers it, for simulators and curl. No socket comes to be, and
//! the one that the charge point may have is left alone. Credentials and rules are those of the door.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use prost::Message as _;
use service_kit::reason::{FieldViolation, Reason, internal, invalid};
use tonic::Status;
use voltgate_proto::ocpp::v1::{ExchangeRequest, ExchangeResponse};

use super::door::{metadata, refused, tls};
use crate::admission;
use crate::client::Client;
use crate::edge::no_body;
use crate::gateway::Gateway;
use crate::media_type;
use crate::problem::Problem;
use crate::rest::read_body;
use crate::routes::{Endpoint, Found, Kind, Miss};
use crate::upstream::{self, Call, LARGEST_ANSWER};

const EXCHANGE: &str = "/voltgate.ocpp.v1.SessionService/Exchange";

/// Names the version of OCPP, such as `1.6`; so does `?version=`.
const VERSION: &str = "ocpp-version";

/// The door that a request posts a frame to, where that is switched on.
pub fn door_for(gateway: &Gateway, method: &Method, path: &str) -> Option<Found> {
    if !gateway.http_binding || method != Method::POST {
        return None;
    }
    let found = gateway.routes.find(&Method::GET, path).ok()?;
    (found.endpoint.kind == Kind::Door).then_some(found)
}

/// A path that was asked by a wrong method. A door takes `POST` too, where that is switched on.
pub fn wrong_method(gateway: &Gateway, path: &str, miss: Miss) -> Miss {
    match miss {
        Miss::WrongMethod { allow } if door_for(gateway, &Method::POST, path).is_some() => Miss::WrongMethod {
            allow: format!("{allow}, POST"),
        },
        miss => miss,
    }
}

/// Answers a frame with a frame, or with nothing where OCPP has no answer to it.
///
/// # Errors
/// The request comes from a foreign page, is no frame, or the service refuses it.
pub async fn exchange(
    gateway: &Gateway,
    endpoint: &Endpoint,
    variables: &[String],
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    if !gateway.origins.admit(&parts.headers) {
        return Err(Reason::PermissionDenied
            .status("Pages of this origin may not connect")
            .into());
    }
    let upstream = gateway.upstreams.get(&endpoint.upstream);
    let upstream = upstream.ok_or_else(|| Reason::Unavailable.status("The service is not set up here"))?;
    let client = parts.extensions.get::<Client>().cloned();
    let tls = tls(gateway, client.as_ref()).map_err(refused)?;
    let metadata = metadata(gateway, &parts, tls.as_ref(), client.as_ref(), &version(&parts)?)?;
    let body = read_body(body, gateway.largest_message).await?;
    if body.is_empty() {
        return Err(Reason::InvalidRequest.status("There is no frame in the body").into());
    }
    let frame = String::from_utf8(body.into()).map_err(|_| Reason::InvalidRequest.status("The frame is not UTF-8"))?;
    let identity = variables.first().map(String::as_str).unwrap_or_default();
    let request = ExchangeRequest {
        identity: identity.to_owned(),
        frame,
    };
    let call = Call {
        path: EXCHANGE
            .parse()
            .map_err(|error: http::uri::InvalidUri| internal(&error))?,
        message: request.encode_to_vec().into(),
        metadata,
        budget: gateway.request_timeout,
        idempotent: false,
        largest: LARGEST_ANSWER,
    };
    let answer = upstream::unary(upstream, call).await.map_err(refused)?;
    gateway.limits.prove(identity, admission::address(&parts.extensions));
    let answer = ExchangeResponse::decode(answer.into_inner()).map_err(|error| internal(&error))?;
    Ok(respond(answer.frame))
}

fn respond(frame: Option<String>) -> Response {
    let Some(frame) = frame else {
        let mut response = Response::new(no_body());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return response;
    };
    let mut response = Response::new(Body::from(frame));
    let json = HeaderValue::from_static(media_type::JSON);
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The version as a subprotocol; empty where the request names none.
fn version(parts: &Parts) -> Result<String, Status> {
    let named = in_header(&parts.headers)?.or_else(|| in_query(parts.uri.query()));
    Ok(match named {
        Some(version) if version.starts_with("ocpp") => version.to_owned(),
        Some(version) => format!("ocpp{version}"),
        None => String::new(),
    })
}

fn in_header(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let value = headers.get(VERSION).map(HeaderValue::to_str).transpose();
    value.map_err(|_| invalid(vec![FieldViolation::new("OCPP-Version", "is not a version")]))
}

fn in_query(query: Option<&str>) -> Option<&str> {
    query?.split('&').find_map(|pair| pair.strip_prefix("version="))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(uri: &str, header: Option<&str>) -> String {
        let mut request = http::Request::builder().uri(uri);
        if let Some(header) = header {
            request = request.header("OCPP-Version", header);
        }
        version(&request.body(()).unwrap().into_parts().0).unwrap()
    }

    #[test]
    fn the_version_stands_in_a_header_or_in_the_query() {
        assert_eq!(of("/ocpp/CP-1", Some("1.6")), "ocpp1.6");
        assert_eq!(of("/ocpp/CP-1?version=2.0.1", None), "ocpp2.0.1");
        assert_eq!(of("/ocpp/CP-1?a=b&version=ocpp1.6", None), "ocpp1.6");
        assert_eq!(of("/ocpp/CP-1?version=2.0.1", Some("1.6")), "ocpp1.6");
        assert_eq!(of("/ocpp/CP-1", None), "");
    }
}
