//! One who listens: from where it was, through the table, to what all hear, and back to the table where it falls behind.
//!
//! It is asked for the next event when its client has taken the one before, so a client that is slow keeps nothing here but
//! its position.

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
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use voltgate_proto::ocpp::v1::Event;

use super::feed::{Batch, Place};
use super::filter::Filter;
use super::page::{self, Happened};
use super::position::{Position, Snapshot};
use crate::State;

/// A listener that hears nothing it wants is told this often where it is, so that it does not have far to go when it comes
/// again.
const MARK: Duration = Duration::from_secs(60);

/// Control messages, which come whatever was asked for.
const MARK_TYPE: &str = "events.mark";
const LOST_TYPE: &str = "events.lost";

/// Ends with a status when the client may hear no more.
type Lapse = Pin<Box<dyn Future<Output = Result<Infallible, Status>> + Send>>;

struct Listener {
    state: Arc<State>,
    filter: Filter,
    place: Place,
    /// Everything up to here was sent, or is not wanted.
    position: Position,
    /// It may have missed some of what all hear.
    is_behind: bool,
    /// What was over when it began: it asked for what comes after. None once that is all past.
    began: Option<Snapshot>,
    /// At most a page.
    wanted: VecDeque<Event>,
    /// The position that the client knows.
    known: Position,
    mark_at: Instant,
    /// Up to where it was told that events were deleted.
    lost: Position,
}

/// Begins to listen: after a position, or now.
///
/// # Errors
/// Too many listen, or the database fails.
pub async fn listen(
    state: &Arc<State>,
    filter: Filter,
    after: Option<Position>,
    admission: Option<Admission>,
) -> Result<BoxStream<'static, Result<Event, Status>>, Status> {
    let place = state
        .events
        .join()
        .ok_or_else(|| Reason::Overloaded.retry_after(Duration::from_secs(5), "Too many listen to events"))?;
    let present = page::present(&state.database)
        .await
        .map_err(|error| database::failed(&error))?;
    let lapse: Lapse = match admission {
        Some(admission) => Box::pin(admission.lapse()),
        None => Box::pin(std::future::pending()),
    };
    let now = Position::before(present.xmin);
    // Nothing has been written yet where a position of another database may lie.
    let is_foreign = after.is_some_and(|after| after.xid >= present.xmax);
    let position = after.filter(|_| !is_foreign).unwrap_or(now);
    let mut listener = Listener {
        state: Arc::clone(state),
        filter,
        place,
        position,
        is_behind: true,
        began: after.is_none().then_some(present),
        wanted: VecDeque::new(),
        known: position,
        mark_at: Instant::now() + MARK,
        lost: Position::default(),
    };
    let first = listener.control(if is_foreign { LOST_TYPE } else { MARK_TYPE });
    listener.wanted.push_back(first);
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
            if let Some(event) = self.wanted.pop_front() {
                self.mark_at = Instant::now() + MARK;
                return Ok(event);
            }
            if self.is_behind {
                self.read().await.map_err(|error| database::failed(&error))?;
                continue;
            }
            tokio::select! {
                batch = self.place.batches.recv() => match batch {
                    Ok(batch) if batch.from <= self.position => self.take(&batch),
                    // It was too slow, or there is a gap: the table has it.
                    Ok(_) | Err(_) => self.is_behind = true,
                },
                () = sleep_until(self.mark_at) => {
                    self.mark_at = Instant::now() + MARK;
                    if self.known < self.position {
                        return Ok(self.control(MARK_TYPE));
                    }
                }
            }
        }
    }

    /// A page of the table. It is no longer behind when there is no more: all that is told to all from then on follows, or
    /// says itself that it does not.
    async fn read(&mut self) -> Result<(), sqlx::Error> {
        let state = Arc::clone(&self.state);
        // It is never closed.
        let _reader = state.events.readers.acquire().await;
        let page = page::read(&state.database, self.position).await?;
        if self.position < page.horizon && self.lost < page.horizon && self.began.is_none() {
            self.lost = page.horizon;
            let lost = self.control(LOST_TYPE);
            self.wanted.push_back(lost);
        }
        self.sift(&page.events, page.to);
        self.is_behind = page.is_full;
        Ok(())
    }

    fn take(&mut self, batch: &Batch) {
        self.sift(&batch.events, batch.to);
    }

    /// Keeps what is wanted of what comes after the position.
    fn sift(&mut self, events: &[Happened], to: Position) {
        for happened in events {
            let is_new = happened.position > self.position
                && !self
                    .began
                    .as_ref()
                    .is_some_and(|began| began.has_seen(happened.position.xid));
            if is_new && self.filter.wants(happened) {
                self.known = happened.position;
                self.wanted.push_back(happened.event.clone());
            }
        }
        self.position = self.position.max(to);
        self.began = self.began.take().filter(|began| self.position.xid < began.xmax);
    }

    /// Tells where it is.
    fn control(&mut self, r#type: &str) -> Event {
        self.known = self.position;
        Event {
            id: self.position.to_string(),
            time: Some(timestamp(self.state.clock.now())),
            r#type: r#type.to_owned(),
            identity: None,
            site_id: None,
            data: None,
        }
    }
}
