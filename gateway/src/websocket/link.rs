//! The service's end of a socket, for as long as the socket lives: one stream after the other.

use std::future::pending;

use futures_util::future::BoxFuture;
use prost::Message as _;
use tonic::Status;
use voltgate_proto::ocpp::v1::{FromStation, ToStation};

use super::frames::Closing;
use super::held::Held;
use super::service_stream::{FromService, ServiceStream};
use super::session::Session;

/// The service's end.
pub struct Link {
    state: State,
    /// Where it can be resumed. A service that gave no token does not do that.
    session: Option<Session>,
    /// The number of the last frame that came from the service.
    received: u64,
}

enum State {
    /// Both ways are open.
    Open(ServiceStream),
    /// Nothing more is sent, and the service has its last words.
    Ending(FromService),
    /// Another stream is on its way.
    Resuming(BoxFuture<'static, Result<ServiceStream, Closing>>),
    Lost,
}

/// What came of driving the link.
#[derive(Debug)]
pub enum Happening {
    Message(ToStation),
    /// The stream ended, or broke.
    Ended(Option<Status>),
    /// Another stream has taken over.
    Resumed,
    /// No other stream can be had: so the socket closes.
    GivenUp(Closing),
}

impl Link {
    pub fn new(stream: ServiceStream, session: Option<Session>) -> Self {
        Self {
            state: State::Open(stream),
            session,
            received: 0,
        }
    }

    /// Gives the service what is held, hears it if `listening`, and returns what happened first. Nothing is lost when it is
    /// dropped.
    pub async fn next(&mut self, held: &mut Held, listening: bool) -> Happening {
        let happening = match &mut self.state {
            State::Open(stream) => converse(stream, held, listening).await,
            State::Ending(from_service) if listening => heard(from_service.message().await),
            State::Ending(_) | State::Lost => pending().await,
            State::Resuming(resumed) => match resumed.await {
                Ok(stream) => {
                    self.state = State::Open(stream);
                    Happening::Resumed
                }
                Err(closing) => {
                    self.state = State::Lost;
                    Happening::GivenUp(closing)
                }
            },
        };
        match &happening {
            Happening::Message(message) => {
                self.received = self.received.max(message.number);
                held.acknowledge(message.acknowledged);
            }
            Happening::Ended(_) => self.state = State::Lost,
            Happening::Resumed | Happening::GivenUp(_) => {}
        }
        happening
    }

    /// Goes on with another stream, which is given everything that is held. False where the session cannot be resumed.
    pub fn resume(&mut self, held: &mut Held) -> bool {
        let Some(session) = &self.session else {
            return false;
        };
        let resumed = session.resume(self.received, held.start_over());
        self.state = State::Resuming(Box::pin(resumed));
        true
    }

    /// The replica is about to leave: nothing more is sent to it, and another one is chosen next.
    pub fn hand_over(&mut self) {
        if let State::Open(stream) = &self.state {
            stream.from_service.leaving();
        }
        self.end();
    }

    fn end(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Open(stream) => State::Ending(stream.end()),
            state @ (State::Ending(_) | State::Resuming(_) | State::Lost) => state,
        };
    }

    /// Whether it can be told that the socket closes.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Tells the service that the socket is gone, and ends our side of the stream. What the service has still to say can be
    /// heard: to drop the stream would be to cancel it, with what is still on its way.
    pub async fn close(&mut self, closing: &Closing) {
        if let State::Open(stream) = &self.state {
            let closed: FromStation = closing.clone().event();
            // Where the service is gone, the stream's end says so.
            let _gone = stream.to_service.send(closed.encode_to_vec().into()).await;
        }
        self.end();
    }
}

async fn converse(stream: &mut ServiceStream, held: &mut Held, listening: bool) -> Happening {
    loop {
        let giving = held.has_more() && !stream.to_service.is_closed();
        tokio::select! {
            room = stream.to_service.reserve(), if giving => {
                // Without room there never will be: the stream's end, which comes after the service's last words, says so.
                if let (Ok(room), Some(frame)) = (room, held.give()) {
                    room.send(frame);
                }
            }
            message = stream.from_service.message(), if listening => return heard(message),
            else => pending().await,
        }
    }
}

fn heard(message: Result<Option<ToStation>, Status>) -> Happening {
    match message {
        Ok(Some(message)) => Happening::Message(message),
        Ok(None) => Happening::Ended(None),
        Err(status) => Happening::Ended(Some(status)),
    }
}
