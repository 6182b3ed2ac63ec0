//! Failures as clients see them: problem+json (RFC 9457). This is the one place that makes them, from the status of a
//! service or of our own, and never with a status below 400.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use service_kit::reason::{DOMAIN, Reason, whole_seconds};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::headers;
use crate::request_id::RequestId;
use crate::routes::Endpoint;

pub const MEDIA_TYPE: &str = "application/problem+json";

/// How a client is asked for credentials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Challenge {
    /// People and programs: an access token.
    Bearer,
    /// Charge points: name and password.
    Basic,
}

/// A failure on its way to a client.
#[derive(Debug)]
pub struct Problem {
    reason: Reason,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    challenge: Challenge,
    headers: HeaderMap,
}

#[derive(Debug, Serialize)]
struct FieldError {
    field: String,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'p> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'p str,
    reason: &'static str,
    request_id: &'p str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'p [FieldError],
}

/// Left in the extensions of a response, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Failed(pub Reason);

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let reason = Reason::of(&status);
        let details = status.get_error_details();
        let ours = details.error_info().is_some_and(|info| info.domain == DOMAIN);
        let violations = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice())
            .unwrap_or_default();
        Self {
            reason,
            // The message of a status that we did not make may tell of our insides.
            detail: if ours {
                status.message().to_owned()
            } else {
                foreign(&status, reason)
            },
            errors: violations
                .iter()
                .map(|violation| FieldError {
                    field: violation.field.clone(),
                    message: violation.description.clone(),
                })
                .collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            challenge: Challenge::Bearer,
            headers: headers::of_refusal(status.metadata().as_ref()),
        }
    }
}

/// What a client is told of a status that none of us made, such as that of a broken connection.
fn foreign(status: &Status, reason: Reason) -> String {
    tracing::warn!(code = ?status.code(), message = status.message(), "A call ended with a status that is not ours");
    format!("{}.", reason.title())
}

impl Problem {
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Names the fields as the client wrote them, not as the service knows them.
    pub fn at(mut self, endpoint: &Endpoint) -> Self {
        for error in &mut self.errors {
            error.field = endpoint.locate(&error.field);
        }
        self
    }

    /// For a charge point, which proves itself by name and password.
    pub fn for_station(mut self) -> Self {
        self.challenge = Challenge::Basic;
        self
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The document as JSON text, for where it is no response of its own.
    pub fn document(&self, request_id: &RequestId) -> Vec<u8> {
        let document = Document {
            r#type: type_of(self.reason),
            title: self.reason.title(),
            status: self.status().as_u16(),
            detail: &self.detail,
            reason: self.reason.as_str(),
            request_id: request_id.as_str(),
            errors: &self.errors,
        };
        // Strings and numbers always serialize.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The response.
    pub fn render(self, request_id: &RequestId) -> Response {
        let status = self.status();
        let body = self.document(request_id);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.extensions_mut().insert(Failed(self.reason));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED || self.reason == Reason::InsufficientScope {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(self.challenge()));
        }
        headers.extend(self.headers);
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        response
    }

    /// RFC 6750, section 3.1: no error code where no token was sent, or where a password was wrong, not a token.
    fn challenge(&self) -> &'static str {
        match (self.challenge, self.reason) {
            (Challenge::Basic, _) => "Basic realm=\"ocpp\", charset=\"UTF-8\"",
            (Challenge::Bearer, Reason::InvalidToken) => "Bearer realm=\"voltgate\", error=\"invalid_token\"",
            (Challenge::Bearer, Reason::InsufficientScope) => "Bearer realm=\"voltgate\", error=\"insufficient_scope\"",
            (Challenge::Bearer, _) => "Bearer realm=\"voltgate\"",
        }
    }
}

/// The `type` of problems with this reason.
pub fn type_of(reason: Reason) -> String {
    let name = reason.as_str().to_ascii_lowercase().replace('_', "-");
    format!("urn:voltgate:problem:{name}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn response(problem: Problem) -> Response {
        problem.render(&RequestId::fixed("test"))
    }

    #[test]
    fn no_failure_is_a_success() {
        for code in 0..=16 {
            let status = Status::new(tonic::Code::from_i32(code), "x");
            assert!(response(status.into()).status().as_u16() >= 400, "{code}");
        }
        for reason in Reason::ALL {
            assert_eq!(
                response(reason.status("x").into()).status().as_u16(),
                reason.http_status()
            );
        }
    }

    #[test]
    fn a_401_always_says_how_to_prove_oneself_and_so_does_an_api_key_that_is_not_enough() {
        let challenge = |problem| {
            response(problem).headers()[header::WWW_AUTHENTICATE]
                .to_str()
                .unwrap()
                .to_owned()
        };
        let of = |reason: Reason| Problem::from(reason.status("x"));
        assert_eq!(challenge(of(Reason::MissingCredentials)), "Bearer realm=\"voltgate\"");
        assert_eq!(
            challenge(of(Reason::InvalidToken)),
            "Bearer realm=\"voltgate\", error=\"invalid_token\""
        );
        assert_eq!(
            challenge(of(Reason::InsufficientScope)),
            "Bearer realm=\"voltgate\", error=\"insufficient_scope\""
        );
        assert_eq!(challenge(of(Reason::InvalidCredentials)), "Bearer realm=\"voltgate\"");
        assert!(challenge(of(Reason::StationUnauthorized).for_station()).starts_with("Basic realm=\"ocpp\""));
    }

    #[test]
    fn a_wait_is_rounded_up() {
        let problem = Problem::from(Reason::Overloaded.retry_after(Duration::from_millis(1200), "x"));
        assert_eq!(response(problem).headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn the_insides_of_a_foreign_status_are_not_shown() {
        let problem = Problem::from(Status::unknown("connection to 10.0.0.7 reset"));
        assert_eq!(problem.detail, "Something went wrong on our side.");
    }
}
