//! The task that owns a charge point's stream.
//!
//! Each direction has one slot. The charge point's CALLs are answered in the order in which they come, each before the
//! next is read. Of ours one at a time is outstanding; its answer is just another frame that comes in, so no handler ever
//! waits for the charge point while the charge point waits for us. Nor does one wait for others that are asked about a CALL
//! (`asking.rs`): our CALLs go on meanwhile.
//!
//! A frame is acknowledged to the gateway once what it brought about is committed, together with its answer. What is not
//! acknowledged when the stream breaks comes in again on the next one.

mod asking;
mod exchange;
mod inbound;
mod last_words;
mod outbound;
mod repetition;
mod routinely;
mod traced;
mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::Status;
use tracing::Instrument;
use voltgate_proto::ocpp::v1::{Closed, FromStation, Leaving, ToStation, from_station, to_station};

use self::asking::{Asking, advice, next_message};
pub(super) use self::exchange::exchange;
use self::outbound::{Lost, Outstanding};
use self::repetition::Answers;
use super::advice::Advice;
use super::fence::{self, GoesOn, Via};
use super::handshake::{Admitted, Refusal};
use super::inbox::Inbox;
use super::pace::Pace;
use super::resumption::{Resumption, TokenHash};
use super::takeover::{self, Candidate, Connected, NewSession};
use crate::State;
use crate::clock_offset::ClockOffset;
use crate::command::ledger::Unanswered;
use crate::registry::Handle;

/// How long a gateway that does not take our frames is waited for.
const STALLED: Duration = Duration::from_secs(30);

/// How long a gateway may take to stop sending once it was told that this replica leaves.
const HANDING_OVER: Duration = Duration::from_secs(4);

/// How long a gateway may take to accept that we close.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a session whose stream broke waits to be resumed before it counts as over. A gateway that lives comes back
/// within seconds; one that comes later resumes it all the same.
const LINGER: Duration = Duration::from_secs(10);

/// Between attempts when the database is away.
const RETRY: Duration = Duration::from_secs(1);

/// How a stream comes to carry a session.
pub(super) enum Entry {
    /// The session begins with it.
    New(TokenHash),
    /// The session is there already.
    Resumed(Resumption),
}

pub(super) struct Conversation {
    state: Arc<State>,
    station: Admitted,
    via: Via,
    handle: Handle,
    outbound: mpsc::Sender<Result<ToStation, Status>>,
    /// The number of our last frame.
    last_sent: i64,
    /// Frames up to this number may have come in on an earlier stream.
    repeated: u64,
    clock_offset: ClockOffset,
    pace: Pace,
    /// What the charge point was answered lately.
    answers: Answers,
    /// The CALL about which others are asked.
    asking: Option<Asking>,
    /// Frames that overtook it or one before it, and are not acknowledged yet.
    overtaken: BTreeSet<u64>,
    /// The CALL of ours whose answer is due.
    outstanding: Option<Outstanding>,
    /// When to give up waiting for the gateway to take its frames elsewhere, where it was told to.
    leaving: Option<Instant>,
    /// When to look for a command again after the database failed.
    look_again: Option<Instant>,
    /// Why the socket is closed once the answer that is due has left.
    barred: Option<&'static str>,
}

/// How a conversation ends.
#[derive(Debug)]
enum End {
    /// The socket is gone.
    Closed,
    /// The stream broke. The socket may be there still, and the session be resumed.
    Lost,
    /// The gateway resumes the session at another replica, because this one stops.
    HandedOver,
    /// The session goes on on another stream.
    Resumed,
    /// Something could not be stored just now. The session goes on on another stream, with what the database says.
    Failed,
    /// We close the socket.
    Close { code: i32, reason: &'static str },
}

const SUPERSEDED: End = End::Close {
    code: 1008,
    reason: "a newer connection has taken over",
};

const ENDED: End = End::Close {
    code: 1008,
    reason: "an operator has ended the connection",
};

enum Event {
    Superseded,
    Resumed,
    Leave,
    Work,
    LookAgain,
    Inbound(Result<Option<FromStation>, Status>),
    /// Others have said what they have to say about a CALL, or could not be asked.
    Advised(Result<Advice, sqlx::Error>),
    /// The charge point may be read again, after it had talked too fast.
    Rested,
    Overdue,
    NotHandedOver,
}

/// Runs a session from its beginning, or from where it is resumed, to its end.
pub(super) async fn run(
    state: Arc<State>,
    station: Admitted,
    entry: Entry,
    mut inbox: Inbox,
    outbound: mpsc::Sender<Result<ToStation, Status>>,
    begun: oneshot::Sender<Result<(), Refusal>>,
) {
    let entered = match enter(&state, &station, entry).await {
        Ok(entered) => entered,
        Err(refusal) => {
            // Nobody is left to hear it where the gateway has hung up.
            let _ = begun.send(Err(refusal));
            return;
        }
    };
    // Where the gateway has hung up, the first look at the stream will show it.
    let _ = begun.send(Ok(()));
    let via = entered.via();
    let span = tracing::info_span!(
        "session",
        identity = %station.identity,
        epoch = via.epoch,
        stream = via.stream
    );
    let session = async {
        let Some(present) = entered.take_over(&state, &mut inbox, &outbound).await else {
            return;
        };
        let handle = present.handle.clone();
        let (conversation, lost) = Conversation::new(Arc::clone(&state), station, present, outbound);
        let end = conversation.hold(inbox, lost).await;
        let over = is_over(&state, &handle, end).await;
        state.sessions.leave(via);
        if over {
            release(&state, via).await;
        }
    };
    session.instrument(span).await;
}

/// A connection that is, or will be, the present one.
enum Entered {
    Present(Present),
    Candidate(Candidate, Option<Resumption>),
}

/// The present connection, and what is known of it from earlier streams.
struct Present {
    handle: Handle,
    resumption: Option<Resumption>,
    unanswered: Option<Unanswered>,
}

async fn enter(state: &State, station: &Admitted, entry: Entry) -> Result<Entered, Refusal> {
    let present = |handle, resumption, unanswered| {
        Entered::Present(Present {
            handle,
            resumption,
            unanswered,
        })
    };
    match entry {
        Entry::New(resumption) => {
            let new = NewSession {
                charge_point: station.charge_point,
                installation: station.installation,
                instance: state.instance,
                version: station.version,
                peer: station.peer.as_deref(),
                certified_serial_number: station.certified_serial_number.as_deref(),
                resumption: &resumption,
                connected_at: state.clock.now(),
            };
            Ok(match takeover::connect(&state.database, &state.sessions, &new).await? {
                Connected::Present(handle) => present(handle, None, None),
                Connected::Candidate(via) => Entered::Candidate(Candidate::new(via), None),
                Connected::Outdated => return Err(Refusal::Outdated),
            })
        }
        Entry::Resumed(resumption) => {
            let (charge_point, instance) = (station.charge_point, state.instance);
            let (database, now) = (&state.database, state.clock.now());
            let resumed = fence::resume(database, &state.sessions, charge_point, instance, &resumption, now).await?;
            Ok(match resumed.ok_or(Refusal::Superseded)? {
                GoesOn::Present(resumed) => present(resumed.handle, Some(resumption), resumed.unanswered),
                GoesOn::Candidate(via) => Entered::Candidate(Candidate::new(via), Some(resumption)),
            })
        }
    }
}

impl Entered {
    fn via(&self) -> Via {
        match self {
            Self::Present(present) => present.handle.via,
            Self::Candidate(candidate, _) => candidate.via,
        }
    }

    /// Waits for its turn, where it is not the present one yet. None where that never comes.
    async fn take_over(
        self,
        state: &State,
        inbox: &mut Inbox,
        outbound: &mpsc::Sender<Result<ToStation, Status>>,
    ) -> Option<Present> {
        match self {
            Self::Present(present) => Some(present),
            Self::Candidate(candidate, resumption) => {
                let handle = waiting::take_over(state, candidate, inbox, outbound).await?;
                Some(Present {
                    handle,
                    resumption,
                    unanswered: None,
                })
            }
        }
    }
}

/// Whether the session ends with its stream.
async fn is_over(state: &State, handle: &Handle, end: End) -> bool {
    match end {
        End::Closed | End::Close { .. } => true,
        End::Resumed | End::HandedOver => false,
        End::Lost | End::Failed => tokio::select! {
            () = sleep(LINGER) => true,
            () = handle.superseded.cancelled() => true,
            () = handle.resumed.cancelled() => false,
            // It may be resumed at another replica until our lease runs out.
            () = state.shutdown.cancelled() => false,
        },
    }
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
    /// Goes on where earlier streams left it; then there may be a CALL of ours that got lost on the way.
    fn new(
        state: Arc<State>,
        station: Admitted,
        present: Present,
        outbound: mpsc::Sender<Result<ToStation, Status>>,
    ) -> (Self, Option<Lost>) {
        let Present {
            handle,
            resumption,
            unanswered,
        } = present;
        let mut conversation = Self {
            clock_offset: ClockOffset::new(station.clock_is_known),
            pace: Pace::of(state.messages_per_second),
            state,
            station,
            via: handle.via,
            handle,
            outbound,
            last_sent: resumption.as_ref().map_or(0, |resumption| resumption.received),
            repeated: resumption.map_or(0, |resumption| resumption.sent),
            answers: Answers::default(),
            asking: None,
            overtaken: BTreeSet::new(),
            outstanding: None,
            leaving: None,
            look_again: None,
            barred: None,
        };
        let lost = unanswered.and_then(|unanswered| conversation.restore(unanswered));
        (conversation, lost)
    }

    async fn hold(mut self, mut inbox: Inbox, lost: Option<Lost>) -> End {
        tracing::info!(peer = self.station.peer, version = %self.station.version, "A charge point is connected");
        let end = self.converse(&mut inbox, lost).await.unwrap_or_else(|end| end);
        tracing::info!(?end, "A charge point's stream ended");
        let last = match &end {
            End::Close { code, reason } => Ok(to_station::Event::Close(Closed {
                code: *code,
                reason: (*reason).to_owned(),
            })),
            End::Failed => Err(Status::unavailable("The database is away")),
            End::Closed | End::Lost | End::HandedOver | End::Resumed => return end,
        };
        let last = last.map(unnumbered);
        if timeout(FAREWELL, self.outbound.send(last)).await.is_err() {
            tracing::debug!("The gateway did not take the last message; it learns from the end of the stream");
        }
        if self.handle.superseded.is_cancelled() {
            self.last_words(&mut inbox).await;
        }
        end
    }

    async fn converse(&mut self, inbox: &mut Inbox, lost: Option<Lost>) -> Result<End, End> {
        if let Some(lost) = lost {
            self.send_lost(lost).await?;
        }
        // Commands may have waited for this connection.
        self.handle.work.notify_one();
        loop {
            match self.next(inbox).await {
                Event::Superseded => return Ok(self.outdone()),
                Event::Resumed => return Ok(End::Resumed),
                Event::Leave => self.leave().await?,
                Event::Work => self.send_next().await?,
                Event::LookAgain => {
                    self.look_again = None;
                    self.send_next().await?;
                }
                Event::Rested => {}
                Event::Advised(advice) => self.advised(advice, inbox).await?,
                Event::Overdue => self.overdue().await?,
                Event::Inbound(Ok(Some(message))) => self.receive(message, inbox).await?,
                Event::Inbound(Ok(None) | Err(_)) if self.leaving.is_some() => return Ok(End::HandedOver),
                Event::Inbound(Ok(None) | Err(_)) => return Ok(End::Lost),
                Event::NotHandedOver => return Ok(End::HandedOver),
            }
        }
    }

    /// Frames come before the deadline of an answer: it may be among them. Neither a flood of commands nor one of
    /// frames starves the other, since only one command at a time is let in.
    async fn next(&mut self, inbox: &mut Inbox) -> Event {
        let staying = self.leaving.is_none();
        let rest = self.pace.next();
        let free = self.outstanding.is_none() && staying;
        let deadline = self.outstanding.as_ref().map(|outstanding| outstanding.deadline);
        let is_asking = self.asking.is_some();
        let due = self.outstanding.as_ref().map(Outstanding::message_id);
        tokio::select! {
            biased;
            () = self.handle.superseded.cancelled() => Event::Superseded,
            () = self.handle.resumed.cancelled() => Event::Resumed,
            () = self.state.shutdown.cancelled(), if staying => Event::Leave,
            () = self.handle.work.notified(), if free => Event::Work,
            () = until(self.look_again), if free => Event::LookAgain,
            advice = advice(&mut self.asking) => Event::Advised(advice),
            message = next_message(inbox, is_asking, due), if rest.is_none() => Event::Inbound(message),
            () = until(rest) => Event::Rested,
            () = until(deadline) => Event::Overdue,
            () = until(self.leaving) => Event::NotHandedOver,
        }
    }

    /// Why the session is not the present one any more.
    fn outdone(&self) -> End {
        if self.handle.ended.is_cancelled() {
            ENDED
        } else {
            SUPERSEDED
        }
    }

    /// No new command goes out. What is on its way here is still dealt with; the rest goes to another replica, which also
    /// waits for what is outstanding.
    async fn leave(&mut self) -> Result<(), End> {
        self.leaving = Some(Instant::now() + HANDING_OVER);
        self.tell(unnumbered(to_station::Event::Leaving(Leaving {}))).await
    }

    async fn receive(&mut self, message: FromStation, inbox: &mut Inbox) -> Result<(), End> {
        match message.event {
            Some(from_station::Event::Frame(frame)) => {
                self.pace.count();
                self.frame(&frame, message.number, inbox).await
            }
            Some(from_station::Event::Closed(closed)) => {
                tracing::debug!(code = closed.code, "The charge point closed its socket");
                Err(End::Closed)
            }
            // The gateway says it once; and a newer one may say what we do not know.
            Some(from_station::Event::Open(_)) | None => Ok(()),
        }
    }

    /// Sends a frame, and with it the acknowledgement of the one that it answers; 0 where it answers none.
    async fn send(&mut self, frame: String, acknowledged: u64) -> Result<(), End> {
        self.last_sent += 1;
        let acknowledged = self.acknowledgeable(acknowledged);
        let frame = ToStation {
            event: Some(to_station::Event::Frame(frame)),
            number: self.last_sent.unsigned_abs(),
            acknowledged,
        };
        self.tell(frame).await
    }

    /// Acknowledges a frame that is not answered.
    async fn acknowledge(&mut self, number: u64) -> Result<(), End> {
        let number = self.acknowledgeable(number);
        if number == 0 {
            return Ok(());
        }
        self.tell(ToStation {
            acknowledged: number,
            ..Default::default()
        })
        .await
    }

    async fn tell(&self, message: ToStation) -> Result<(), End> {
        match timeout(STALLED, self.outbound.send(Ok(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Lost),
            Err(_) => {
                tracing::warn!("The gateway has stopped taking frames");
                Err(End::Lost)
            }
        }
    }
}

/// A message that is no frame.
fn unnumbered(event: to_station::Event) -> ToStation {
    ToStation {
        event: Some(event),
        ..Default::default()
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
