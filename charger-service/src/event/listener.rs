//! One who listens: from where it was, through the table, to what all hear, and back to the table where it falls behind.
//!
//! It is asked for the next event when its client has taken the one before, so a client that is slow keeps nothing here but its
//! position, and what it wants of a page.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, unfold};
use service_kit::access::Admission;
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;
use voltgate_proto::ocpp::v1::Event;

use super::feed::{Batch, Place};
use super::filter::Filter;
use super::page::{self, Happened};
use super::position::{EventId, Position, Server, Snapshot};
use crate::State;

/// A listener that hears nothing it wants is told this often where it is, so that it does not have far to go when it comes
/// again.
const MARK: Duration = Duration::from_secs(60);

/// Sites may join and leave the groups to which a listener is limited.
const ANEW: Duration = Duration::from_secs(300);

/// Control messages, which come whatever was asked for.
const MARK_TYPE: &str = "events.mark";
const LOST_TYPE: &str = "events.lost";

/// Ends with a status when the client may hear no more.
type Lapse = Pin<Box<dyn Future<Output = Result<Infallible, Status>> + Send>>;

struct Listener {
    state: Arc<State>,
    filter: Filter,
    place: Place,
    server: Server,
    /// Everything up to here was sent, or is not wanted.
    position: Position,
    /// It may have missed some of what all hear.
    is_behind: bool,
    /// What was over when it began: it asked for what comes after. None once that is all past.
    began: Option<Snapshot>,
    /// At most a page.
    wanted: VecDeque<Wanted>,
    /// The position that the client knows.
    known: Position,
    mark_at: Instant,
    /// Up to where it was told that events were deleted.
    lost: Position,
}

enum Wanted {
    /// As all have it.
    Happened(Arc<Happened>),
    Control(Box<Event>),
}

/// Begins to listen: after an event, or now.
///
/// # Errors
/// The database fails.
pub async fn listen(
    state: &Arc<State>,
    place: Place,
    filter: Filter,
    after: Option<EventId>,
    admission: Option<Admission>,
) -> Result<BoxStream<'static, Result<Event, Status>>, Status> {
    let present = page::present(&state.database)
        .await
        .map_err(|error| database::failed(&error))?;
    let is_limited = filter.is_limited();
    let lapse: Lapse = Box::pin(async move {
        let admitted = async {
            match admission {
                Some(admission) => admission.lapse().await,
                None => std::future::pending().await,
            }
        };
        let anew = async {
            if !is_limited {
                std::future::pending::<()>().await;
            }
            sleep(ANEW).await;
        };
        tokio::select! {
            lapsed = admitted => lapsed,
            () = anew => Err(Reason::Unavailable.status("Which sites you may hear of is looked at anew; please ask again")),
        }
    });
    // Nothing has been written yet where the position of another server may lie.
    let is_foreign = after.is_some_and(|after| {
        after.server != present.server || after.position > Position::before(present.snapshot.xmax)
    });
    let resumed = after.filter(|_| !is_foreign).map(|after| after.position);
    let position = resumed.unwrap_or(present.last);
    let mut listener = Listener {
        state: Arc::clone(state),
        filter,
        place,
        server: present.server,
        position,
        is_behind: true,
        began: resumed.is_none().then_some(present.snapshot),
        wanted: VecDeque::new(),
        known: position,
        mark_at: Instant::now() + MARK,
        lost: Position::default(),
    };
    let first = listener.control(if is_foreign { LOST_TYPE } else { MARK_TYPE });
    listener.wanted.push_back(Wanted::Control(Box::new(first)));
    let events = unfold(Some((listener, lapse)), |listening| async {
        let (mut listener, mut lapse) = listening?;
        match next(&mut listener, &mut lapse).await {
            Ok(event) => Some((Ok(event), Some((listener, lapse)))),
            Err(status) => Some((Err(status), None)),
        }
    });
    Ok(events.boxed())
}

/// Waits for an event, or for why there are no more.
async fn next(listener: &mut Listener, lapse: &mut Lapse) -> Result<Event, Status> {
    let shutdown = listener.state.shutdown.clone();
    tokio::select! {
        biased;
        () = shutdown.cancelled() => Err(Reason::Unavailable.status("The replica is shutting down; please ask again")),
        lapsed = lapse => lapsed.map(|never| match never {}),
        event = listener.hear() => event,
    }
}

impl Listener {
    async fn hear(&mut self) -> Result<Event, Status> {
        loop {
            if let Some(wanted) = self.wanted.pop_front() {
                self.mark_at = Instant::now() + MARK;
                return Ok(match wanted {
                    Wanted::Happened(happened) => happened.event.clone(),
                    Wanted::Control(event) => *event,
                });
            }
            if let Some(mark) = self.due_mark() {
                return Ok(mark);
            }
            if self.is_behind {
                self.read().await.map_err(|error| database::failed(&error))?;
                continue;
            }
            tokio::select! {
                batch = self.place.batches.recv() => match batch {
                    Ok(batch) if batch.server == self.server && batch.from <= self.position => self.take(&batch),
                    // It was too slow, there is a gap, or another server has taken over: the table has it.
                    Ok(_) | Err(_) => self.is_behind = true,
                },
                () = sleep_until(self.mark_at) => {}
            }
        }
    }

    /// However seldom something is wanted, and however far it has to go.
    fn due_mark(&mut self) -> Option<Event> {
        if Instant::now() < self.mark_at {
            return None;
        }
        self.mark_at = Instant::now() + MARK;
        (self.known < self.position).then(|| self.control(MARK_TYPE))
    }

    /// A page of the table. It is no longer behind when there is no more: all that is told to all from then on follows, or
    /// says itself that it does not.
    async fn read(&mut self) -> Result<(), sqlx::Error> {
        let state = Arc::clone(&self.state);
        // It is never closed.
        let _reader = state.events.readers.acquire().await;
        let page = page::read(&state.database, self.position).await?;
        if page.server != self.server {
            return self.begin_anew().await;
        }
        if self.position < page.horizon && self.lost < page.horizon && self.began.is_none() {
            self.lost = page.horizon;
            self.tell_lost();
        }
        self.sift(&page.events, page.to);
        self.is_behind = page.is_full;
        Ok(())
    }

    /// Another server has taken over while it listened.
    async fn begin_anew(&mut self) -> Result<(), sqlx::Error> {
        let present = page::present(&self.state.database).await?;
        self.server = present.server;
        self.position = present.last;
        self.began = Some(present.snapshot);
        self.lost = Position::default();
        self.tell_lost();
        Ok(())
    }

    fn tell_lost(&mut self) {
        let lost = self.control(LOST_TYPE);
        self.wanted.push_back(Wanted::Control(Box::new(lost)));
    }

    fn take(&mut self, batch: &Batch) {
        self.sift(&batch.events, batch.to);
    }

    /// Keeps what is wanted of what comes after the position.
    fn sift(&mut self, events: &[Arc<Happened>], to: Position) {
        for happened in events {
            let is_new = happened.position > self.position
                && !self
                    .began
                    .as_ref()
                    .is_some_and(|began| began.has_seen(happened.position.xid));
            if is_new && self.filter.wants(happened) {
                self.known = happened.position;
                self.wanted.push_back(Wanted::Happened(Arc::clone(happened)));
            }
        }
        self.position = self.position.max(to);
        self.began = self.began.take().filter(|began| self.position.xid < began.xmax);
    }

    /// Tells where it is.
    fn control(&mut self, r#type: &str) -> Event {
        self.known = self.position;
        let id = EventId {
            server: self.server,
            position: self.position,
        };
        Event {
            id: id.to_string(),
            time: Some(timestamp(self.state.clock.now())),
            r#type: r#type.to_owned(),
            identity: None,
            site_id: None,
            data: None,
        }
    }
}
