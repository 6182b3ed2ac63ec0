//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Peer;
use super::activity::Activity;
use super::request_body;
use super::tls::PublicTls;
use crate::edge::Edge;

/// Headers may have this many bytes together.
const LARGEST_HEADERS: u32 = 32 * 1024;

/// How long the headers of a request may take to arrive.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);

/// An HTTP/2 connection that says nothing is asked for a sign of life.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests that one HTTP/2 connection may have under way.
const STREAMS_PER_CONNECTION: u32 = 200;

/// How long a connection that is told to end may take to do so.
const GOODBYE: Duration = Duration::from_secs(30);

/// When a connection ends that nothing is wrong with.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Cancelled when whoever comes next should go elsewhere.
    pub draining: CancellationToken,
    /// Cancelled when no more requests are taken.
    pub goodbye: CancellationToken,
}

/// Serves until either side has had enough, or it is to end.
pub async fn serve(stream: TcpStream, tls: Option<PublicTls>, peer: Peer, edge: Arc<Edge>, ending: Ending) {
    // Without it a small frame waits for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "Nagle's algorithm stays on");
    }
    let Some(tls) = tls else {
        return converse(stream, peer, edge, ending).await;
    };
    let shaken = tokio::select! {
        shaken = tls.shake_hands(stream, peer.address) => shaken,
        () = ending.goodbye.cancelled() => None,
    };
    if let Some((stream, session)) = shaken {
        let peer = Peer {
            tls: Some(session),
            ..peer
        };
        converse(stream, peer, edge, ending).await;
    }
}

/// HTTP/1.1 or HTTP/2, whichever the first bytes are.
async fn converse<S>(stream: S, peer: Peer, edge: Arc<Edge>, ending: Ending)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let activity = Activity::default();
    let requests = activity.clone();
    let draining = ending.draining;
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = requests.begin();
        let mut request = request_body::with_true_end(request);
        request.extensions_mut().insert(peer.clone());
        let (version, chunked) = (
            request.version(),
            request.headers().contains_key(header::TRANSFER_ENCODING),
        );
        let (edge, draining) = (Arc::clone(&edge), draining.clone());
        async move {
            let mut response = edge.answer(request).await;
            if version < Version::HTTP_2 && (chunked || draining.is_cancelled()) {
                close_after(&mut response);
            }
            // A stream is under way until its last byte.
            Ok::<_, Infallible>(response.map(|body| busy.until_end_of(body)))
        }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = activity.idle() => None,
        () = ending.goodbye.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(GOODBYE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        // Clients that break off or speak something else are daily bread.
        tracing::debug!(error, "A connection ended badly");
    }
}

/// Has the connection end with this answer, as HTTP/1 says it: before we leave, so that clients connect elsewhere in good time; and
/// after a body in chunks. Its request may have told a length besides, which hyper does not show, and somebody between may have gone
/// by that: what comes next over this connection is nobody's request (RFC 9112, section 6.1).
fn close_after<B>(response: &mut Response<B>) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(LARGEST_HEADERS as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(LARGEST_HEADERS)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}
