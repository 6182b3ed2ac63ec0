//! The task that owns a charge point's stream.
//!
//! Each direction has one slot. The charge point's CALLs are answered in the order in which they come, each before the
//! next is read. Of ours one at a time is outstanding; its answer is just another frame that comes in, so no handler ever
//! waits for the charge point while the charge point waits for us.

mod inbound;
mod outbound;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::{Status, Streaming};
use tracing::Instrument;
use voltgate_proto::ocpp::v1::{Closed, FromStation, ToStation, from_station, to_station};

use self::outbound::Outstanding;
use super::fence::{self, NewSession, Via};
use super::handshake::Admitted;
use crate::State;
use crate::registry::Handle;

/// How long a gateway that does not take our frames is waited for.
const STALLED: Duration = Duration::from_secs(30);

/// How long a session that drains waits for the answer to a CALL of ours.
const DRAINING: Duration = Duration::from_secs(5);

/// How long a gateway may take to accept that we close.
const FAREWELL: Duration = Duration::from_secs(1);

/// Between attempts when the database is away.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Conversation {
    state: Arc<State>,
    station: Admitted,
    via: Via,
    handle: Handle,
    outbound: mpsc::Sender<Result<ToStation, Status>>,
    /// The CALL of ours whose answer is due.
    outstanding: Option<Outstanding>,
    draining: bool,
    /// When to look for a command again after the database failed.
    look_again: Option<Instant>,
}

/// How a conversation ends.
#[derive(Debug)]
enum End {
    /// The socket, or the gateway with it, is gone.
    Gone,
    /// We close the socket.
    Close { code: i32, reason: &'static str },
}

const SUPERSEDED: End = End::Close {
    code: 1008,
    reason: "a newer connection has taken over",
};
const RESTART: End = End::Close {
    code: 1012,
    reason: "the service restarts",
};

enum Event {
    Superseded,
    Drain,
    Work,
    LookAgain,
    Inbound(Result<Option<FromStation>, Status>),
    Overdue,
}

/// Runs a session from its claim to its release.
pub(super) async fn run(
    state: Arc<State>,
    station: Admitted,
    inbound: Streaming<FromStation>,
    outbound: mpsc::Sender<Result<ToStation, Status>>,
    claimed: oneshot::Sender<Result<(), sqlx::Error>>,
) {
    let new = NewSession {
        charge_point: station.charge_point,
        instance: state.instance,
        version: station.version,
        peer: station.peer.as_deref(),
        connected_at: state.clock.now(),
    };
    let (via, handle) = match fence::claim(&state.database, &state.sessions, &new).await {
        Ok(claimed) => claimed,
        Err(error) => {
            // Nobody is left to hear it where the gateway has hung up.
            let _ = claimed.send(Err(error));
            return;
        }
    };
    let span = tracing::info_span!("session", identity = %station.identity, epoch = via.epoch);
    let conversation = Conversation {
        state: Arc::clone(&state),
        station,
        via,
        handle,
        outbound,
        outstanding: None,
        draining: false,
        look_again: None,
    };
    let session = async {
        // Where the gateway has hung up, the first look at the stream will show it.
        let _ = claimed.send(Ok(()));
        conversation.hold(inbound).await;
        state.sessions.leave(via.charge_point, via.epoch);
        release(&state, via).await;
    };
    session.instrument(span).await;
}

/// Until it is done, or the process ends and the release with it: its lease runs out then.
async fn release(state: &State, via: Via) {
    let database: &PgPool = &state.database;
    let release = async {
        while let Err(error) = fence::release(database, via, state.clock.now()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "A session could not be ended in the database; trying again"
            );
            sleep(RETRY).await;
        }
    };
    state.stopped.run_until_cancelled(release).await;
}

impl Conversation {
    async fn hold(mut self, inbound: Streaming<FromStation>) {
        tracing::info!(peer = self.station.peer, version = %self.station.version, "A charge point connected");
        let end = self.converse(inbound).await;
        tracing::info!(?end, "A charge point's connection ended");
        if let End::Close { code, reason } = end {
            let close = Closed {
                code,
                reason: reason.to_owned(),
            };
            let close = ToStation {
                event: Some(to_station::Event::Close(close)),
            };
            if timeout(FAREWELL, self.outbound.send(Ok(close))).await.is_err() {
                tracing::debug!("The gateway did not take the close frame; it closes the socket when the stream ends");
            }
        }
    }

    async fn converse(&mut self, mut inbound: Streaming<FromStation>) -> End {
        // Commands may have waited for this connection.
        self.handle.work.notify_one();
        loop {
            let step = match self.next(&mut inbound).await {
                Event::Superseded => Err(SUPERSEDED),
                Event::Drain => self.drain(),
                Event::Work => self.send_next().await,
                Event::LookAgain => {
                    self.look_again = None;
                    self.send_next().await
                }
                Event::Overdue => self.overdue().await,
                Event::Inbound(Ok(Some(message))) => self.receive(message).await,
                Event::Inbound(Ok(None) | Err(_)) => Err(End::Gone),
            };
            if let Err(end) = step {
                return end;
            }
            if self.draining && self.outstanding.is_none() {
                return RESTART;
            }
        }
    }

    /// Frames come before the deadline of an answer: it may be among them. Neither a flood of commands nor one of
    /// frames starves the other, since only one command at a time is let in.
    async fn next(&self, inbound: &mut Streaming<FromStation>) -> Event {
        let free = self.outstanding.is_none() && !self.draining;
        let deadline = self.outstanding.as_ref().map(|outstanding| outstanding.deadline);
        tokio::select! {
            biased;
            () = self.handle.superseded.cancelled() => Event::Superseded,
            () = self.state.shutdown.cancelled(), if !self.draining => Event::Drain,
            () = self.handle.work.notified(), if free => Event::Work,
            () = until(self.look_again), if free => Event::LookAgain,
            message = inbound.message() => Event::Inbound(message),
            () = until(deadline) => Event::Overdue,
        }
    }

    /// No new command goes out. What is outstanding may still be answered, for a short while.
    fn drain(&mut self) -> Result<(), End> {
        self.draining = true;
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.deadline = outstanding.deadline.min(Instant::now() + DRAINING);
        }
        Ok(())
    }

    async fn receive(&mut self, message: FromStation) -> Result<(), End> {
        match message.event {
            Some(from_station::Event::Frame(frame)) => self.frame(&frame).await,
            Some(from_station::Event::Closed(closed)) => {
                tracing::debug!(code = closed.code, "The charge point closed its socket");
                Err(End::Gone)
            }
            // The gateway says it once; and a newer one may say what we do not know.
            Some(from_station::Event::Open(_)) | None => Ok(()),
        }
    }

    async fn send(&self, frame: String) -> Result<(), End> {
        let frame = ToStation {
            event: Some(to_station::Event::Frame(frame)),
        };
        match timeout(STALLED, self.outbound.send(Ok(frame))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => {
                tracing::warn!("The gateway has stopped taking frames");
                Err(End::Gone)
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
