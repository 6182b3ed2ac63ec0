//! The station's end: a WebSocket that is read and written at the same time by one task.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::SinkExt as _;
use tokio::time::timeout;
use yawc::frame::OpCode;
use yawc::{Frame, WebSocket, WebSocketError};

use super::frames::{Closing, LOST, UNSUPPORTED};
use super::transport::Transport;

/// How long the station may take to answer our close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The station's end.
pub struct Socket {
    socket: WebSocket<Transport>,
    transport: Transport,
    /// The frame that goes out next.
    waiting: Option<Frame>,
    flushing: bool,
}

/// What came of driving the socket.
#[derive(Debug)]
pub enum Happening {
    /// A text frame.
    Text(String),
    /// A ping or a pong: a sign of life.
    Alive,
    /// What was to be sent has been.
    Sent,
    /// The station closed, or is gone.
    Closed(Closing),
    /// The station broke a rule, and is to be told so.
    Refused(Closing),
}

impl Socket {
    pub fn new(socket: WebSocket<Transport>, transport: Transport) -> Self {
        Self {
            socket,
            transport,
            waiting: None,
            flushing: false,
        }
    }

    /// Whether everything given to [`Socket::send`] has gone out.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_none() && !self.flushing
    }

    /// Takes a frame to send; [`Socket::next`] sends it. To be called while the socket is idle.
    pub fn send(&mut self, frame: Frame) {
        self.waiting = Some(frame);
    }

    /// Sends what waits, reads if `reading`, and returns what happened first. Nothing is lost when it is dropped.
    pub async fn next(&mut self, reading: bool) -> Happening {
        poll_fn(|context| self.poll_next(context, reading)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>, reading: bool) -> Poll<Happening> {
        match self.poll_send(context) {
            Poll::Ready(Ok(())) => return Poll::Ready(Happening::Sent),
            Poll::Ready(Err(error)) => return Poll::Ready(Happening::Closed(Closing::by_error(&error))),
            Poll::Pending => {}
        }
        if !reading {
            return Poll::Pending;
        }
        self.socket
            .poll_next_frame(context)
            .map(|frame| frame.map_or_else(failed, received))
    }

    /// Ready when something was sent, pending when there is nothing to send.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        if self.waiting.is_some()
            && self.socket.poll_ready_unpin(context)?.is_ready()
            && let Some(frame) = self.waiting.take()
        {
            self.socket.start_send_unpin(frame)?;
            self.flushing = true;
        }
        if self.flushing && self.socket.poll_flush_unpin(context)?.is_ready() {
            self.flushing = false;
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Closes with this frame, and waits for the station to do the same, within bounds. Without a frame the station
    /// closed first, or is gone. What the station still says until then goes to `hear`.
    pub async fn close(mut self, closing: Option<Closing>, hear: impl FnMut(String)) {
        let Some(closing) = closing else {
            // The answer that yawc owes the station goes out when it is asked for more.
            let _answered = timeout(CLOSE_TIMEOUT, self.next(true)).await;
            return;
        };
        self.waiting = Some(closing.frame());
        let answered = timeout(CLOSE_TIMEOUT, self.answered(hear)).await.unwrap_or(false);
        if !answered {
            drop(self.socket);
            self.transport.linger().await;
        }
    }

    /// Whether the station answers our close frame with its own.
    async fn answered(&mut self, mut hear: impl FnMut(String)) -> bool {
        loop {
            match self.next(true).await {
                Happening::Closed(closing) => return closing.code != LOST,
                Happening::Refused(_) => return false,
                Happening::Text(text) => hear(text),
                Happening::Alive | Happening::Sent => {}
            }
        }
    }
}

fn failed(error: WebSocketError) -> Happening {
    let closing = Closing::by_error(&error);
    if closing.code == LOST {
        Happening::Closed(closing)
    } else {
        Happening::Refused(closing)
    }
}

fn received(frame: Frame) -> Happening {
    match frame.opcode() {
        OpCode::Text => match String::from_utf8(frame.into_payload().into()) {
            Ok(text) => Happening::Text(text),
            Err(_) => Happening::Refused(Closing::not_utf8()),
        },
        OpCode::Close => Happening::Closed(Closing::by_station(&frame)),
        OpCode::Ping | OpCode::Pong => Happening::Alive,
        OpCode::Binary | OpCode::Continuation => {
            Happening::Refused(Closing::new(UNSUPPORTED, "Only text frames are taken"))
        }
    }
}
