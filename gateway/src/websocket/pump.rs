//! Carries frames between a socket and its stream until one of the two ends.
//!
//! One task, one frame in hand each way. While the service is slow the socket is not read, and TCP holds the station
//! back; while the station is slow the stream is not read, and HTTP/2 holds the service back. Neither direction waits
//! for the other.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tonic::Status;
use voltgate_proto::ocpp::v1::{FromStation, ToStation, to_station};
use yawc::Frame;

use super::frames::{self, Closing};
use super::service_stream::ServiceStream;
use super::socket::{Happening, Socket};
use super::sockets::Surroundings;

/// Intervals without a sign of life after which a station counts as gone. Modems lose a minute now and then.
const SILENT_INTERVALS: u32 = 3;

/// What the station said last is still handled: so long the service may take after the socket is gone.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// A socket and its stream. They are held apart, so that either can go without the other.
pub struct Pump {
    socket: Socket,
    service: ServiceStream,
    surroundings: Surroundings,
    /// A message that waits for room on the way to the service.
    in_hand: Option<FromStation>,
    /// The service takes no more messages. What it has still to say comes first, then the end of the stream.
    deaf: bool,
    ping: Interval,
    last_heard: Instant,
}

/// Why carrying ended.
#[derive(Debug)]
enum End {
    /// The station closed, or is gone.
    Station(Closing),
    /// The station broke a rule, or we are leaving: it is told, and so is the service.
    Gateway(Closing),
    /// The station has not been heard of for too long.
    Silence,
    /// The service wants it closed.
    Service(Closing),
    /// The service is gone.
    ServiceLost(Option<Status>),
}

impl Pump {
    pub fn new(socket: Socket, service: ServiceStream, surroundings: Surroundings) -> Self {
        let mut ping = interval_at(Instant::now() + surroundings.ping, surroundings.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            socket,
            service,
            surroundings,
            in_hand: None,
            deaf: false,
            ping,
            last_heard: Instant::now(),
        }
    }

    /// Carries frames to the end, then closes both sides.
    pub async fn run(mut self) {
        let end = self.carry().await;
        self.finish(end).await;
    }

    async fn carry(&mut self) -> End {
        loop {
            let reading = self.in_hand.is_none();
            let sending = self.socket.is_idle();
            let step = tokio::select! {
                happening = self.socket.next(reading) => self.heard(happening),
                room = self.service.to_service.clone().reserve_owned(), if !reading && !self.deaf => self.hand_over(room),
                message = self.service.from_service.message(), if sending => self.told(message),
                _ = self.ping.tick() => self.check_silence(reading, sending),
                () = self.surroundings.leaving() => Some(End::Gateway(Closing::new(frames::RESTART, "Restarting"))),
            };
            if let Some(end) = step {
                return end;
            }
        }
    }

    fn heard(&mut self, happening: Happening) -> Option<End> {
        match happening {
            Happening::Sent => return None,
            Happening::Alive => {}
            Happening::Text(text) => {
                metrics::counter!("voltgate_gateway_frames_total", "direction" => "from_station").increment(1);
                self.in_hand = Some(frames::text(text));
            }
            Happening::Closed(closing) => return Some(End::Station(closing)),
            Happening::Refused(closing) => return Some(End::Gateway(closing)),
        }
        self.last_heard = Instant::now();
        None
    }

    /// There is room for the message in hand, or never will be.
    fn hand_over(&mut self, room: Result<mpsc::OwnedPermit<FromStation>, mpsc::error::SendError<()>>) -> Option<End> {
        match room {
            Ok(room) => {
                if let Some(message) = self.in_hand.take() {
                    room.send(message);
                }
            }
            Err(_) => self.deaf = true,
        }
        None
    }

    fn told(&mut self, message: Result<Option<ToStation>, Status>) -> Option<End> {
        match message.map(|message| message.map(|message| message.event)) {
            Ok(Some(Some(to_station::Event::Frame(text)))) => {
                metrics::counter!("voltgate_gateway_frames_total", "direction" => "to_station").increment(1);
                self.socket.send(Frame::text(text));
                None
            }
            Ok(Some(Some(to_station::Event::Close(closed)))) => Some(End::Service(closed.into())),
            // A kind of event that a newer service knows and this gateway does not.
            Ok(Some(None)) => None,
            Ok(None) => Some(End::ServiceLost(None)),
            Err(status) => Some(End::ServiceLost(Some(status))),
        }
    }

    /// An interval is over. A station that is not being read cannot be blamed for silence.
    fn check_silence(&mut self, reading: bool, sending: bool) -> Option<End> {
        if !reading {
            self.last_heard = Instant::now();
        }
        if self.last_heard.elapsed() >= self.surroundings.ping * SILENT_INTERVALS {
            return Some(End::Silence);
        }
        if sending {
            self.socket.send(Frame::ping(""));
        }
        None
    }

    /// Tells both sides. The last message of the station goes first: it may be the stop of a charge.
    async fn finish(self, end: End) {
        log(&end);
        let (to_station, to_service) = match end {
            End::Station(closing) => (None, Some(closing)),
            End::Gateway(closing) => (Some(closing.clone()), Some(closing)),
            End::Silence => (
                Some(Closing::new(1008, "Nothing was heard")),
                Some(Closing::new(frames::LOST, "Silence")),
            ),
            End::Service(closing) => (Some(closing), None),
            End::ServiceLost(_) => (Some(Closing::new(frames::RESTART, "The service restarts")), None),
        };
        let last = self.in_hand.into_iter().chain(to_service.map(Closing::event)).collect();
        tokio::join!(self.socket.close(to_station), say_last(self.service, last));
    }
}

/// The socket never came to be: the service hears of it all the same.
pub async fn tell_lost(service: ServiceStream) {
    say_last(service, vec![Closing::new(frames::LOST, "").event()]).await;
}

/// Sends the last messages and ends our side of the stream, then waits for the service to end its own: to drop the
/// stream would be to cancel it, with what is still on its way.
async fn say_last(mut service: ServiceStream, messages: Vec<FromStation>) {
    let last_words = async {
        for message in messages {
            if service.to_service.send(message).await.is_err() {
                return;
            }
        }
        drop(service.to_service);
        while let Ok(Some(_)) = service.from_service.message().await {}
    };
    if timeout(LAST_WORDS, last_words).await.is_err() {
        tracing::warn!("A service did not end its stream after the socket was gone");
    }
}

fn log(end: &End) {
    match end {
        End::Station(closing) => tracing::debug!(code = closing.code, "A station closed its socket"),
        End::Gateway(closing) => tracing::info!(code = closing.code, reason = closing.reason, "A socket is closed"),
        End::Silence => tracing::info!("A station was not heard of for too long"),
        End::Service(closing) => tracing::debug!(code = closing.code, "The service closes a socket"),
        End::ServiceLost(status) => {
            let status = status.as_ref().map(tonic::Status::code);
            tracing::warn!(?status, "The service ended a stream without closing its socket");
        }
    }
}
