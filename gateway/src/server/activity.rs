//! Tells a connection that is used from one that is not.
//!
//! hyper times the headers of an HTTP/1 request, but neither the first byte of a connection whose protocol it has yet to
//! tell, nor an idle HTTP/2 connection. This times both.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a new connection may take to ask for something, and a used one to ask again.
const FIRST: Duration = Duration::from_secs(15);
const NEXT: Duration = Duration::from_secs(90);

/// The requests of one connection.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<State>);

#[derive(Debug, Default)]
struct State {
    in_flight: AtomicUsize,
    used: AtomicBool,
    changed: Notify,
}

/// A request under way.
#[derive(Debug)]
pub struct Busy(Arc<State>);

impl Activity {
    /// A request starts; it ends when the value returned is dropped.
    pub fn begin(&self) -> Busy {
        self.0.in_flight.fetch_add(1, Ordering::AcqRel);
        self.0.used.store(true, Ordering::Release);
        self.0.changed.notify_one();
        Busy(Arc::clone(&self.0))
    }

    /// Waits until nothing has been asked for too long.
    pub async fn idle(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.in_flight.load(Ordering::Acquire) > 0 {
                changed.await;
                continue;
            }
            let limit = if self.0.used.load(Ordering::Acquire) {
                NEXT
            } else {
                FIRST
            };
            if timeout(limit, changed).await.is_err() {
                return;
            }
        }
    }
}

impl Busy {
    /// The request is under way as long as its answer's body.
    pub fn until_end_of(self, body: Body) -> Body {
        Body::new(Held { body, _busy: self })
    }
}

/// A body that keeps its request under way.
struct Held {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_for_nothing_is_idle_soon() {
        let started = Instant::now();
        Activity::default().idle().await;
        assert_eq!(started.elapsed(), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_still_streams_is_never_idle() {
        let activity = Activity::default();
        let body = activity.begin().until_end_of(Body::from("data"));
        assert!(timeout(NEXT * 10, activity.idle()).await.is_err());
        drop(body);
        activity.idle().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_is_never_idle() {
        let activity = Activity::default();
        let busy = activity.begin();
        assert!(timeout(NEXT * 10, activity.idle()).await.is_err());
        drop(busy);
        advance(Duration::from_secs(1)).await;
        let ended = Instant::now();
        activity.idle().await;
        assert!(ended.elapsed() >= NEXT);
    }
}
