//! Lets pages of other origins read what the API answers, where the setting lists them (the Fetch standard's CORS protocol).
//!
//! No `Access-Control-Allow-Credentials` is ever said: callers prove themselves by a token that the page's script sends, not
//! by what a browser remembers. tower-http's layer would answer every OPTIONS itself, of paths that do not exist and of pages
//! that are not allowed too; here the path has the first word.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use crate::gateway::Gateway;

/// What a page's script may send besides the few headers that need no leave.
const ALLOWED_HEADERS: &str =
    "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, x-request-id";

/// What a page's script may read besides the few headers that need no leave.
const EXPOSED_HEADERS: &str =
    "allow, etag, location, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id";

/// Seconds that a browser may remember a preflight's answer; Chromium remembers none longer.
const MAX_AGE: &str = "7200";

/// Adds to an answer what the browser wants to know.
pub async fn answer(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let origins = &gateway.origins;
    let origin = request.headers().get(header::ORIGIN);
    let allow_origin = origin.and_then(|origin| origins.allow(origin));
    let preflight = is_preflight(&request);
    let mut response = next.run(request).await;
    let known_path = response.status() == StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if origins.tell_apart() {
        headers.append(header::VARY, HeaderValue::from(header::ORIGIN));
    }
    let Some(allow_origin) = allow_origin else {
        return response;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allow_origin);
    if !preflight {
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED_HEADERS),
        );
    } else if let Some(methods) = headers.get(header::ALLOW).filter(|_| known_path).cloned() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(ALLOWED_HEADERS),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    }
    response
}

/// Whether a browser asks what a page of another origin may ask. Any other `OPTIONS` is a request like others.
pub fn is_preflight(request: &Request) -> bool {
    let has = |name| request.headers().contains_key(name);
    *request.method() == Method::OPTIONS && has(header::ORIGIN) && has(header::ACCESS_CONTROL_REQUEST_METHOD)
}
