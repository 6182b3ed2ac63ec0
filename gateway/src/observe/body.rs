//! Bodies whose size is known only when they have gone through.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::exchange::Exchange;
use super::notes::Notes;

/// The body of a request, counted as it comes in.
pub struct Counted {
    body: Body,
    notes: Arc<Notes>,
}

impl Counted {
    pub fn around(body: Body, notes: Arc<Notes>) -> Body {
        Body::new(Self { body, notes })
    }
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.notes.count_in(data.len());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. With its end, or that of its client's patience, the request is over.
pub struct Answer {
    body: Body,
    exchange: Exchange,
    bytes: u64,
}

impl Answer {
    pub fn around(body: Body, exchange: Exchange) -> Body {
        Body::new(Self {
            body,
            exchange,
            bytes: 0,
        })
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        // What is asked of services for the rest of it belongs to the same request.
        let body = Pin::new(&mut this.body);
        let frame = ready!(this.exchange.within(|| body.poll_frame(context)));
        match &frame {
            Some(Ok(frame)) => match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => this.bytes += data.len() as u64,
                (None, Some(trailers)) => {
                    this.exchange.reads_trailers(trailers);
                    // Nothing comes after them, and nobody asks.
                    this.exchange.ends_answer(this.bytes);
                }
                (None, None) => {}
            },
            Some(Err(_)) => {}
            None => this.exchange.ends_answer(this.bytes),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.exchange.ends_answer(self.bytes);
        } else {
            self.exchange.breaks_off(self.bytes);
        }
    }
}
