//! Carries frames between a socket and its service until one of the two has had enough.
//!
//! One task. While the service is slow, or there is none just now, a few frames are held, then the socket is not read, and
//! TCP holds the station back; while the station is slow the stream is not read, and HTTP/2 holds the service back.
//! Neither direction waits for the other.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tonic::Status;
use voltgate_proto::ocpp::v1::{ToStation, to_station};
use yawc::Frame;

use super::frames::{self, Closing};
use super::held::Held;
use super::link::{self, Link};
use super::socket::{Happening, Socket};
use super::sockets::Surroundings;

/// Intervals without a sign of life after which a station counts as gone. Modems lose a minute now and then.
const SILENT_INTERVALS: u32 = 3;

/// What the station said last is still handled: so long the service may take after the socket is gone.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// A socket and its service. They are held apart, so that either can go without the other.
pub struct Pump {
    socket: Socket,
    link: Link,
    held: Held,
    surroundings: Surroundings,
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
    /// The service is gone, and no other replica takes over.
    ServiceLost(Closing),
}

impl Pump {
    pub fn new(socket: Socket, link: Link, surroundings: Surroundings) -> Self {
        let mut ping = interval_at(Instant::now() + surroundings.ping, surroundings.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            socket,
            link,
            held: Held::default(),
            surroundings,
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
            let reading = !self.held.is_full();
            let sending = self.socket.is_idle();
            let step = tokio::select! {
                happening = self.socket.next(reading) => self.heard(happening),
                happening = self.link.next(&mut self.held, sending) => self.told(happening),
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
                self.held.push(text);
            }
            Happening::Closed(closing) => return Some(End::Station(closing)),
            Happening::Refused(closing) => return Some(End::Gateway(closing)),
        }
        self.last_heard = Instant::now();
        None
    }

    fn told(&mut self, happening: link::Happening) -> Option<End> {
        match happening {
            link::Happening::Message(message) => self.obey(message),
            link::Happening::Ended(status) => self.resume(status.as_ref()),
            link::Happening::Resumed => None,
            link::Happening::GivenUp(closing) => Some(End::ServiceLost(closing)),
        }
    }

    fn obey(&mut self, message: ToStation) -> Option<End> {
        match message.event {
            Some(to_station::Event::Frame(text)) => {
                metrics::counter!("voltgate_gateway_frames_total", "direction" => "to_station").increment(1);
                self.socket.send(Frame::text(text));
                None
            }
            Some(to_station::Event::Close(closed)) => Some(End::Service(closed.into())),
            Some(to_station::Event::Leaving(_)) => {
                self.link.hand_over();
                None
            }
            // An acknowledgement alone; or a kind of event that a newer service knows and this gateway does not.
            None => None,
        }
    }

    fn resume(&mut self, status: Option<&Status>) -> Option<End> {
        tracing::info!(code = ?status.map(Status::code), "A stream ended, and its socket did not");
        if self.link.resume(&mut self.held) {
            metrics::counter!("voltgate_gateway_sessions_resumed_total").increment(1);
            return None;
        }
        Some(End::ServiceLost(Closing::new(frames::RESTART, "The service restarts")))
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
                Some(Closing::new(frames::POLICY, "Nothing was heard")),
                Some(Closing::new(frames::LOST, "Silence")),
            ),
            End::Service(closing) => return self.dismiss(closing).await,
            End::ServiceLost(closing) => (Some(closing), None),
        };
        let last_words = async {
            if let Some(closing) = to_service {
                say_last(self.link, self.held, closing, true).await;
            }
        };
        tokio::join!(self.socket.close(to_station, |_| {}), last_words);
    }

    /// The service has closed the socket, and hears the station out as far as it cares to: when a newer connection has taken
    /// over, what the old one still says may be the stop of a charge.
    async fn dismiss(self, closing: Closing) {
        let Self {
            socket, link, mut held, ..
        } = self;
        let hear = |text| {
            if !held.is_full() {
                held.push(text);
            }
        };
        socket.close(Some(closing.clone()), hear).await;
        say_last(link, held, closing, false).await;
    }
}

/// The socket never came to be: the service hears of it all the same.
pub async fn tell_lost(link: Link) {
    say_last(link, Held::default(), Closing::new(frames::LOST, ""), true).await;
}

/// Gives the service what it does not have yet, and the socket's end after it; on another stream if need be, where the
/// session may go on.
async fn say_last(mut link: Link, mut held: Held, closing: Closing, may_resume: bool) {
    let last_words = async {
        let mut told = false;
        loop {
            if link.is_open() && !held.has_more() && !told {
                link.close(&closing).await;
                told = true;
            }
            match link.next(&mut held, true).await {
                link::Happening::Message(_) | link::Happening::Resumed => {}
                link::Happening::Ended(_) if told && held.is_empty() => return,
                link::Happening::Ended(_) if may_resume && link.resume(&mut held) => told = false,
                link::Happening::Ended(_) | link::Happening::GivenUp(_) => return,
            }
        }
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
        End::ServiceLost(closing) => tracing::warn!(code = closing.code, reason = closing.reason, "A session is lost"),
    }
}
