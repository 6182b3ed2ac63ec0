//! Calls to other systems over HTTP: the authority for tokens, the vendors that are sent what charge points say to them, and whoever
//! subscribes to events.
//!
//! One call is one POST of JSON that is answered with JSON, in bounded time and size. Nothing is followed: an answer that points
//! elsewhere is a failure. Where a URL comes from somebody who uses the system, rather than from whoever runs it, internal
//! addresses are out of bounds; a name is looked up once, and what was looked at is what is connected to.

mod address;
mod connect;
mod signing_secret;
mod url;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Duration, Instant, timeout_at};

pub use self::address::Reach;
use self::connect::{Connect, ConnectError};
pub use self::signing_secret::SigningSecret;
pub use self::url::{Url, UrlError};

/// An answer says yes or no, and perhaps a little more.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Connections that are kept for the next call, each as long.
const IDLE: usize = 8;
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Why a call has no answer. Says nothing of what was asked, nor where: both may be secret.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("too many calls are under way")]
    Busy,
    #[error("there was no answer in time")]
    TooSlow,
    #[error("its name stands for no address that may be called")]
    Forbidden,
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it answered with status {}", .0.as_u16())]
    Status(StatusCode),
    #[error("its answer is too large")]
    TooLarge,
    #[error("its answer is not what it should be")]
    Unreadable,
    #[error("its signing secret does not open")]
    Unsignable,
}

/// Calls what is within reach.
#[derive(Clone)]
pub struct Hooks(Client<Connect, Full<Bytes>>);

impl Hooks {
    pub fn new(reach: Reach) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE)
            .build(Connect::new(reach));
        Self(client)
    }

    /// # Errors
    /// There is no answer of success in time.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.uri().clone();
        *request.headers_mut() = headers;
        let fixed = [
            (CONTENT_TYPE, "application/json"),
            (USER_AGENT, concat!("voltgate/", env!("CARGO_PKG_VERSION"))),
        ];
        for (name, value) in fixed {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        timeout_at(deadline, self.exchange(request))
            .await
            .map_err(|_| CallError::TooSlow)?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Bytes, CallError> {
        let response = self.0.request(request).await.map_err(|error| why(&error))?;
        if !response.status().is_success() {
            return Err(CallError::Status(response.status()));
        }
        match Limited::new(response.into_body(), LARGEST_ANSWER).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(CallError::TooLarge),
            Err(_) => Err(CallError::Unreachable),
        }
    }
}

/// The headers of Standard Webhooks, by which whoever is called knows a call for ours and for the same one again. `at`: seconds since
/// 1970.
pub fn signed(secret: &SigningSecret, id: &str, at: i64, body: &[u8]) -> HeaderMap {
    let signature = secret.sign(id, at, body);
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", signature),
    ]
    .into_iter()
    // Letters, digits and a few signs are always a header's value.
    .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
    .collect()
}

/// The client's own error names the address.
fn why(error: &ClientError) -> CallError {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(ConnectError::Forbidden) = error.downcast_ref() {
            return CallError::Forbidden;
        }
        source = error.source();
    }
    CallError::Unreachable
}
