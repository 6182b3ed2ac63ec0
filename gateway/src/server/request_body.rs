//! The body of a request, with an end that is its end.
//!
//! hyper takes a reset of an HTTP/2 stream with NO_ERROR for the end of the body. An answer may end like that (RFC 9113, section
//! 8.1). A request that does has been given up by its client: half a file must not pass for a whole one.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Version};
use hyper::body::{Frame, Incoming, SizeHint};

/// The request with a body that fails where its client broke it off.
pub fn with_true_end(request: Request<Incoming>) -> Request<Body> {
    // Of HTTP/1 hyper knows how long a body is to be.
    if request.version() == Version::HTTP_2 {
        request.map(|body| Body::new(TrueEnd(body)))
    } else {
        request.map(Body::new)
    }
}

struct TrueEnd(Incoming);

#[derive(Debug, thiserror::Error)]
#[error("the client gave the request up before its body's end")]
struct GivenUp;

impl hyper::body::Body for TrueEnd {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let body = &mut self.get_mut().0;
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        Poll::Ready(match frame {
            Some(frame) => Some(frame.map_err(Into::into)),
            None => (!body.is_end_stream()).then(|| Err(GivenUp.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::convert::Infallible;

    use h2::Reason;
    use http_body_util::BodyExt as _;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::sync::mpsc;

    use super::*;

    /// What is read of a request whose client sends `half` and then goes on as told; nothing where its body failed.
    async fn read(half: &'static str, go_on: impl FnOnce(&mut h2::SendStream<Bytes>)) -> Option<Bytes> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (report, mut reports) = mpsc::channel(1);
        let service = service_fn(move |request: Request<Incoming>| {
            let body = with_true_end(request).into_body();
            let report = report.clone();
            // hyper drops the answer to a request that is reset, and may do so before the body is read.
            tokio::spawn(async move {
                let read = body.collect().await.ok();
                report.send(read.map(|body| body.to_bytes())).await.unwrap();
            });
            std::future::pending::<Result<http::Response<Body>, Infallible>>()
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let serving = tokio::spawn(server.serve_connection(TokioIo::new(ours), service));
        let (client, connection) = h2::client::handshake(theirs).await.unwrap();
        let asking = tokio::spawn(connection);
        let request = Request::put("http://localhost/file").body(()).unwrap();
        let (_answer, mut body) = client.ready().await.unwrap().send_request(request, false).unwrap();
        body.send_data(half.into(), false).unwrap();
        go_on(&mut body);
        let read = reports.recv().await.unwrap();
        serving.abort();
        asking.abort();
        read
    }

    #[tokio::test]
    async fn a_body_that_is_reset_without_an_error_has_failed_all_the_same() {
        assert_eq!(read("half", |body| body.send_reset(Reason::NO_ERROR)).await, None);
        assert_eq!(read("half", |body| body.send_reset(Reason::CANCEL)).await, None);
    }

    #[tokio::test]
    async fn a_body_that_is_ended_is_whole_with_trailers_and_without() {
        let whole = read("a", |body| body.send_data("b".into(), true).unwrap()).await;
        assert_eq!(whole.as_deref(), Some(&b"ab"[..]));
        let trailed = read("a", |body| body.send_trailers(http::HeaderMap::new()).unwrap()).await;
        assert_eq!(trailed.as_deref(), Some(&b"a"[..]));
    }
}
