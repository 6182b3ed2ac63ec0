//! Ends an answer that nobody takes. What an answer holds, its place and its call, it holds until its client has read it; one that
//! stops reading and does not go away would hold them for good.
//!
//! A timer within the body would not do: nobody would ask it. So a task looks after each body for as long as it is there.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// So many bytes go out at a time, at most: a client that reads slowly is seen to read.
const CHUNK: usize = 64 * 1024;

/// `body`, which fails where nobody asks for what comes next within `patience`. However long it is waited for itself, that is no
/// fault of the client's. The task that looks after it is one of `tasks`.
pub fn guard(body: Body, patience: Duration, tasks: &TaskTracker) -> Body {
    let answer = Arc::new(Answer(Mutex::new(State {
        body: Some(body),
        rest: Bytes::new(),
        offered: Some(Instant::now()),
    })));
    let gone = CancellationToken::new();
    tasks.spawn(look_after(Arc::clone(&answer), gone.clone(), patience));
    Body::new(Guarded {
        answer,
        _gone: gone.drop_guard(),
    })
}

/// The same for a body of this many bytes that is here already: what is held is nothing but memory, so a small one is left alone.
pub fn guard_large(body: Body, bytes: usize, patience: Duration, tasks: &TaskTracker) -> Body {
    if bytes > CHUNK {
        guard(body, patience, tasks)
    } else {
        body
    }
}

/// What the task and the client's side share.
struct Answer(Mutex<State>);

struct State {
    /// Nothing once it has been ended.
    body: Option<Body>,
    /// Of what the body gave last, what has not gone out yet.
    rest: Bytes,
    /// Since when it is the client's turn; nothing while the body is waited for.
    offered: Option<Instant>,
}

struct Guarded {
    answer: Arc<Answer>,
    _gone: DropGuard,
}

#[derive(Debug, thiserror::Error)]
#[error("the client stopped reading")]
struct Stalled;

impl Answer {
    /// Held for moments only: for as long as a body says what it has, or goes.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look_after(answer: Arc<Answer>, gone: CancellationToken, patience: Duration) {
    loop {
        let (left, ended) = {
            let mut state = answer.lock();
            let left = match state.offered {
                Some(since) => patience.saturating_sub(since.elapsed()),
                None => patience,
            };
            (left, state.body.take_if(|_| left.is_zero()))
        };
        if ended.is_some() {
            tracing::info!("A client stopped reading, and its answer was ended");
            return;
        }
        tokio::select! {
            () = gone.cancelled() => return,
            () = sleep(left) => {}
        }
    }
}

impl hyper::body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = self.answer.lock();
        let state = &mut *state;
        let Some(body) = &mut state.body else {
            return Poll::Ready(Some(Err(axum::Error::new(Stalled))));
        };
        if state.rest.is_empty() {
            state.offered = None;
            let next = ready!(Pin::new(body).poll_frame(context));
            state.offered = Some(Instant::now());
            match next.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => state.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        state.offered = Some(Instant::now());
        let chunk = state.rest.split_to(state.rest.len().min(CHUNK));
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.answer.lock();
        state.rest.is_empty() && state.body.as_ref().is_some_and(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.answer.lock();
        let Some(body) = &state.body else {
            return SizeHint::default();
        };
        let (rest, of_body) = (state.rest.len() as u64, body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

impl Drop for Guarded {
    /// What the body holds is free at once, and not only when its task has noticed.
    fn drop(&mut self) {
        let body = self.answer.lock().body.take();
        drop(body);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};
    use http_body_util::BodyExt as _;
    use tokio::time::advance;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const ALMOST: Duration = Duration::from_secs(59);

    /// A body of many chunks, each of which takes `wait`, and a token that is cancelled when it has gone.
    fn body(wait: Duration) -> (Body, CancellationToken) {
        let gone = CancellationToken::new();
        let held = gone.clone().drop_guard();
        let chunks = stream::repeat(()).then(move |()| {
            let _held = &held;
            async move {
                sleep(wait).await;
                Ok::<_, Infallible>(Bytes::from_static(b"chunk"))
            }
        });
        (Body::from_stream(chunks), gone)
    }

    async fn takes(body: &mut Body) -> bool {
        matches!(body.frame().await, Some(Ok(_)))
    }

    /// Time passes, and the task has had its turn.
    async fn pass(time: Duration) {
        advance(time).await;
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_ended_whether_it_has_begun_or_not() {
        for begins in [true, false] {
            let tasks = TaskTracker::new();
            let (inner, gone) = body(Duration::ZERO);
            let mut guarded = guard(inner, PATIENCE, &tasks);
            tokio::task::yield_now().await;
            if begins {
                assert!(takes(&mut guarded).await);
            }
            pass(ALMOST).await;
            assert!(!gone.is_cancelled());
            pass(PATIENCE).await;
            pass(PATIENCE).await;
            assert!(gone.is_cancelled());
            assert!(guarded.frame().await.unwrap().is_err());
            assert!(tasks.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_slow_is_waited_for() {
        let (inner, gone) = body(Duration::ZERO);
        let mut guarded = guard(inner, PATIENCE, &TaskTracker::new());
        for _ in 0..10 {
            assert!(takes(&mut guarded).await);
            pass(ALMOST).await;
        }
        assert!(!gone.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_does_not_answer_for_a_body_that_is_slow_itself() {
        let (inner, _) = body(PATIENCE * 10);
        let mut guarded = guard(inner, PATIENCE, &TaskTracker::new());
        for _ in 0..3 {
            assert!(takes(&mut guarded).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_a_large_chunk_slowly_is_seen_to_read() {
        let whole: Vec<u8> = (0..=255).cycle().take(10 * CHUNK + 1).collect();
        let mut guarded = guard(Body::from(whole.clone()), PATIENCE, &TaskTracker::new());
        assert_eq!(hyper::body::Body::size_hint(&guarded).exact(), Some(whole.len() as u64));
        let mut read = Vec::new();
        while let Some(frame) = guarded.frame().await {
            read.extend_from_slice(&frame.unwrap().into_data().unwrap());
            pass(ALMOST).await;
        }
        assert!(read == whole);
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_answer_that_nobody_takes_is_let_go_and_a_small_one_costs_nothing() {
        let (held, tasks) = (Arc::new(vec![0; CHUNK + 1]), TaskTracker::new());
        let bytes = |length| Bytes::from_owner(Held(Arc::clone(&held))).slice(..length);
        let large = guard_large(Body::from(bytes(CHUNK + 1)), CHUNK + 1, PATIENCE, &tasks);
        let small = guard_large(Body::from(bytes(CHUNK)), CHUNK, PATIENCE, &tasks);
        assert_eq!((tasks.len(), Arc::strong_count(&held)), (1, 3));
        pass(PATIENCE * 2).await;
        assert_eq!(Arc::strong_count(&held), 2, "the large one is held");
        drop((large, small));
    }

    /// The bytes of an answer.
    struct Held(Arc<Vec<u8>>);

    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_takes_the_body_and_its_task_along() {
        let tasks = TaskTracker::new();
        let (inner, gone) = body(Duration::ZERO);
        drop(guard(inner, PATIENCE, &tasks));
        assert!(gone.is_cancelled());
        tasks.close();
        tasks.wait().await;
    }
}
