//! One HTTP/2 connection to a replica, and the streams that it has room for.
//!
//! hyper is used directly, not through tonic's channel, for two things that the channel keeps to itself. How many streams
//! the peer allows: beyond it, HTTP/2 clients queue new streams without a word, and a charge point would wait for another
//! to leave. And whether a request that failed had been sent: if not, it can go elsewhere, whatever it asks for.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, header};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use service_kit::trace;
use tokio::time::timeout;
use tonic::body::Body;
use tower::Service;

use super::dial::{Destination, Transport, dial};

/// A replica must be connected, and have spoken HTTP/2, within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a new connection is asked whether its peer has spoken.
const FIRST_WORD_INTERVAL: Duration = Duration::from_millis(1);

/// A connection that says nothing is asked for a sign of life this often, and given up when none comes in time.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that may be on their way in one stream, and in all streams of one connection. A stream that is not read holds
/// back its share of the connection's window, so that allows for all of them to be slow at once.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;

/// Headers and trailers of an answer may have this many bytes. A status travels in trailers, and one that refuses a file of ten thousand
/// rows names up to a thousand errors.
const LARGEST_HEADERS: u32 = 256 * 1024;

/// hyper's end of a connection; gone when the connection is.
type Driver = Mutex<Option<http2::Connection<TokioIo<Transport>, Body, TokioExecutor>>>;

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unreachable {
    #[error("cannot connect")]
    Refused(#[source] Arc<std::io::Error>),
    #[error("what answers does not speak HTTP/2")]
    NotHttp2(#[source] Arc<hyper::Error>),
    #[error("connected, and disconnected at once")]
    HungUp,
    #[error("no connection within {} seconds", CONNECT_TIMEOUT.as_secs())]
    TooSlow,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// It can go elsewhere, whatever it asks for.
    #[error("the connection was closed before the request was sent")]
    NotSent(#[source] hyper::Error),
    /// It may have had its effect.
    #[error("the connection or the stream broke off")]
    Broken(#[source] hyper::Error),
}

/// A connection, for as long as it lasts.
pub struct Connection {
    channel: Channel,
    driver: Arc<Driver>,
    streams: AtomicUsize,
}

impl Connection {
    /// Connects, and waits for the peer's settings.
    ///
    /// # Errors
    /// Nobody is there, or not in time.
    pub async fn open(destination: &Destination) -> Result<Self, Unreachable> {
        timeout(CONNECT_TIMEOUT, Self::open_patiently(destination))
            .await
            .unwrap_or(Err(Unreachable::TooSlow))
    }

    async fn open_patiently(destination: &Destination) -> Result<Self, Unreachable> {
        let transport = dial(destination)
            .await
            .map_err(|error| Unreachable::Refused(Arc::new(error)))?;
        let (requests, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            // None until the peer has said how many: so its first word can be waited for.
            .initial_max_send_streams(0)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(LARGEST_HEADERS)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(transport))
            .await
            .map_err(|error| Unreachable::NotHttp2(Arc::new(error)))?;
        let driver = Arc::new(Mutex::new(Some(driver)));
        tokio::spawn(drive(Arc::clone(&driver)));
        let connection = Self {
            channel: Channel {
                requests,
                origin: Arc::clone(&destination.origin),
            },
            driver,
            streams: AtomicUsize::new(0),
        };
        while connection.allowed() == 0 {
            if connection.is_closed() {
                return Err(Unreachable::HungUp);
            }
            tokio::time::sleep(FIRST_WORD_INTERVAL).await;
        }
        Ok(connection)
    }

    /// Whether it takes no more requests: it broke, or the peer said goodbye. What is under way may still go on.
    pub fn is_closed(&self) -> bool {
        self.channel.requests.is_closed()
    }

    /// Streams that are held.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Room for one more stream, where fewer than `most`, and fewer than the peer allows, are held.
    pub fn take(self: &Arc<Self>, most: usize) -> Option<Slot> {
        let most = most.min(self.allowed());
        let taken = self
            .streams
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |streams| {
                (streams < most && !self.is_closed()).then_some(streams + 1)
            });
        taken.is_ok().then(|| Slot(Arc::clone(self)))
    }

    /// How many streams the peer allows just now.
    fn allowed(&self) -> usize {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        driver.as_ref().map_or(0, http2::Connection::current_max_send_streams)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("streams", &self.streams())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Runs a connection until it breaks, or until nobody holds it and its last stream has ended.
///
/// Whoever sends a request wakes it. It lets everybody else who is ready go first, so that what they send leaves in one system call.
async fn drive(driver: Arc<Driver>) {
    let mut others_go_first = false;
    let end = std::future::poll_fn(|context| {
        others_go_first = !others_go_first;
        if others_go_first {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut driver = driver.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = driver.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        let end = std::task::ready!(Pin::new(running).poll(context));
        // Dropped here, for then requests that wait in it are told that they were not sent.
        *driver = None;
        Poll::Ready(end)
    });
    if let Err(error) = end.await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "A connection to a service broke"
        );
    }
}

/// Room for one stream. Held for as long as the stream is.
#[derive(Debug)]
pub struct Slot(Arc<Connection>);

impl Slot {
    pub fn channel(&self) -> Channel {
        self.0.channel.clone()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Carries a request: what generated gRPC clients and `tonic::client::Grpc` are given.
#[derive(Clone, Debug)]
pub struct Channel {
    requests: http2::SendRequest<Body>,
    origin: Arc<Uri>,
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Lost;
    type Future = BoxFuture<'static, Result<Self::Response, Lost>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        // Whether the connection is there is told by the call, which knows that nothing was sent.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        *request.uri_mut() = absolute(&self.origin, request.uri());
        request
            .headers_mut()
            .insert(header::USER_AGENT, HeaderValue::from_static("voltgate-gateway"));
        trace::say(request.headers_mut());
        let sent = self.requests.try_send_request(request);
        Box::pin(async move {
            match sent.await {
                Ok(response) => Ok(response.map(Body::new)),
                Err(failed) if failed.message().is_some() => Err(Lost::NotSent(failed.into_error())),
                Err(failed) => Err(Lost::Broken(failed.into_error())),
            }
        })
    }
}

/// HTTP/2 wants the scheme and the authority with each request.
fn absolute(origin: &Uri, requested: &Uri) -> Uri {
    let mut parts = origin.clone().into_parts();
    let root = || PathAndQuery::from_static("/");
    parts.path_and_query = Some(requested.path_and_query().cloned().unwrap_or_else(root));
    // An origin has both, so with a path they are a URI.
    Uri::from_parts(parts).unwrap_or_else(|_| requested.clone())
}
