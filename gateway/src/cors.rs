//! Lets pages of other origins read what the API answers, where the setting lists them (the Fetch standard's CORS protocol).
//!
//! No `Access-Control-Allow-Credentials` is ever said: callers prove themselves by a token that the page's script sends, not
//! by what a browser remembers. tower-http's layer would answer every OPTIONS itself, of paths that do not exist and of pages
//! that are not allowed too; here the path has the first word.

use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use crate::origins::Origins;

/// What a page's script may send besides the few headers that need no leave.
const ALLOWED_HEADERS: &str =
    "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, x-request-id";

/// What a page's script may read besides the few headers that need no leave.
const EXPOSED_HEADERS: &str =
    "allow, etag, location, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id";

/// Seconds that a browser may remember a preflight's answer; Chromium remembers none longer.
const MAX_AGE: &str = "7200";

/// The page that asks, where one does.
pub struct Page<'o> {
    origins: &'o Origins,
    /// It may read the answer.
    allow_origin: Option<HeaderValue>,
    preflight: bool,
}

impl<'o> Page<'o> {
    pub fn of(request: &Request, origins: &'o Origins) -> Self {
        let origin = request.headers().get(header::ORIGIN);
        Self {
            origins,
            allow_origin: origin.and_then(|origin| origins.allow(origin)),
            preflight: is_preflight(request),
        }
    }

    /// Adds to an answer what its browser wants to know.
    pub fn tell(self, response: &mut Response) {
        let known_path = response.status() == StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        if self.origins.tell_apart() {
            headers.append(header::VARY, HeaderValue::from(header::ORIGIN));
        }
        let Some(allow_origin) = self.allow_origin else {
            return;
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allow_origin);
        if !self.preflight {
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
    }
}

/// Whether a browser asks what a page of another origin may ask. Any other `OPTIONS` is a request like others.
pub fn is_preflight(request: &Request) -> bool {
    let has = |name| request.headers().contains_key(name);
    *request.method() == Method::OPTIONS && has(header::ORIGIN) && has(header::ACCESS_CONTROL_REQUEST_METHOD)
}
