//! What a replica does of its own accord: it listens to the others, reads events for those who listen to them, renews its
//! lease and buries those that did not, expires commands, moves campaigns on, brings local lists up to date, keeps the
//! partitions of the message log and of the events, and drops what is old. Each is safe to do at several replicas at once,
//! and one that fails is tried again at its next turn.
//!
//! Dead letters are not dropped, however old they are: as long as one stays, the id tokens of a deleted account may still charge. So
//! they wait for an administrator.

use std::time::Duration;

use chrono::TimeDelta;
use service_kit::housekeeping::every;

use crate::State;
use crate::announce;
use crate::audit;
use crate::campaign::{advance, installation};
use crate::certificate::issue;
use crate::command::ledger::ending;
use crate::erasure;
use crate::event::{feed, partitions as event_partitions};
use crate::file;
use crate::gauge;
use crate::import;
use crate::instance;
use crate::local_list::due;
use crate::message::partitions;
use crate::notice::{Heard, Listener, Notice};
use crate::security_event;
use crate::session::{fence, takeover};
use crate::status;

/// A command is expired at most this much late.
const EXPIRY: Duration = Duration::from_secs(1);

/// A change of a token is on its way to local lists at most this much late.
const LISTS: Duration = Duration::from_secs(2);

/// What charge points tell of firmware that a campaign waits for counts at most this much late.
const INSTALLATIONS: Duration = Duration::from_secs(3);

/// Other services are told of charge points that are lost or broken at most this much late.
const ANNOUNCEMENTS: Duration = Duration::from_secs(1);

/// What needs no haste: the message log's partitions, and what is left of connections and old events.
const HOURLY: Duration = Duration::from_secs(3600);

/// How long what is said is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub messages: TimeDelta,
    pub events: TimeDelta,
    pub security_events: TimeDelta,
    pub audit: TimeDelta,
    /// The history of connectors.
    pub statuses: TimeDelta,
}

/// Rows deleted by one statement.
const AT_ONCE: u32 = 1000;

/// Deletes old rows some at a time, so that no statement takes long and nobody waits for it. The statement is told how many,
/// and tells how many it found.
pub async fn in_batches<Statement>(delete: impl FnMut(i64) -> Statement) -> Result<(), sqlx::Error>
where
    Statement: Future<Output = Result<u64, sqlx::Error>>,
{
    in_batches_of(AT_ONCE, delete).await
}

/// The same for rows of which fewer are enough for one statement.
pub async fn in_batches_of<Statement>(at_once: u32, mut delete: impl FnMut(i64) -> Statement) -> Result<(), sqlx::Error>
where
    Statement: Future<Output = Result<u64, sqlx::Error>>,
{
    while delete(at_once.into()).await? >= at_once.into() {}
    Ok(())
}

/// Runs until everything else has ended.
pub async fn keep_house(state: &State, retention: Retention) {
    let work = async {
        tokio::join!(
            listen(state),
            feed::follow(state),
            gauge::keep_measuring(state),
            every(instance::RENEWAL, "renewing the lease", || stay_alive(state)),
            every(EXPIRY, "expiring commands", || ending::expire(
                &state.database,
                state.clock.now()
            )),
            every(LISTS, "bringing local lists up to date", || due::keep(state)),
            advance::keep_going(state),
            every(INSTALLATIONS, "following the installations of campaigns", || {
                installation::follow(&state.database, state.clock.now())
            }),
            every(HOURLY, "forgetting connections that never took over", || {
                takeover::forget(&state.database, state.clock.now())
            }),
            every(HOURLY, "keeping the message log's partitions", || {
                partitions::keep(&state.database, state.clock.now(), retention.messages)
            }),
            every(HOURLY, "keeping the partitions of events", || {
                event_partitions::keep(&state.database, state.clock.now(), retention.events)
            }),
            every(HOURLY, "watching certificates end", || {
                issue::watch_expiry(&state.database, state.clock.now())
            }),
            every(HOURLY, "telling of certificates that end", || {
                announce::certificate::tell(&state.database, state.clock.now(), issue::AHEAD)
            }),
            every(
                ANNOUNCEMENTS,
                "telling of charge points that are lost or broken",
                || { announce::feed::tell(&state.database) }
            ),
            every(HOURLY, "dropping old files", || {
                file::keep(&state.database, state.clock.now(), state.files.retention)
            }),
            every(HOURLY, "erasing what deleted accounts left late", || {
                erasure::keep(&state.database, state.clock.now())
            }),
            every(HOURLY, "dropping old security events", || {
                security_event::prune(&state.database, state.clock.now(), retention.security_events)
            }),
            every(HOURLY, "dropping old entries of the audit log", || {
                audit::prune(&state.database, state.clock.now(), retention.audit)
            }),
            every(HOURLY, "forgetting old imports", || {
                import::prune(&state.database, state.clock.now(), retention.audit)
            }),
            every(HOURLY, "dropping old states of connectors", || {
                status::prune(&state.database, state.clock.now(), retention.statuses)
            }),
        )
    };
    state.stopped.run_until_cancelled(work).await;
}

async fn listen(state: &State) {
    let mut listener = Listener::on(state.database.clone());
    loop {
        act(state, listener.heard().await).await;
    }
}

async fn act(state: &State, heard: Heard) {
    match heard {
        Heard::Notice(Notice::Queued { charge_point }) => state.sessions.wake(charge_point),
        Heard::Notice(Notice::Claimed(via)) => state.sessions.supersede(via),
        Heard::Notice(Notice::Ended(via)) => state.sessions.end(via),
        Heard::Notice(Notice::Completed { command }) => state.waiters.wake(command),
        Heard::Notice(Notice::Campaign { .. }) => state.campaigns.notify_one(),
        Heard::Anything => look_at_everything(state).await,
    }
}

async fn look_at_everything(state: &State) {
    match fence::newer(&state.database, &state.sessions.all()).await {
        Ok(newer) => newer.into_iter().for_each(|via| state.sessions.supersede(via)),
        // The connection that listens is gone too then, and when it is back this is done again.
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "Sessions that were superseded cannot be looked up"
            );
        }
    }
    state.sessions.wake_all();
    state.waiters.wake_all();
    state.campaigns.notify_one();
}

async fn stay_alive(state: &State) -> Result<(), sqlx::Error> {
    let had_lapsed = instance::renew(&state.database, state.instance).await?;
    if had_lapsed {
        reopen(state).await?;
    }
    instance::bury(&state.database, state.clock.now()).await
}

/// Others took this process for dead and ended its sessions, and it lives.
async fn reopen(state: &State) -> Result<(), sqlx::Error> {
    let sessions = state.sessions.all();
    tracing::warn!(
        sessions = sessions.len(),
        "This replica was taken for dead; its sessions are opened again"
    );
    fence::reopen(&state.database, &sessions, state.clock.now()).await?;
    // Those that ended meanwhile were opened by mistake.
    let still_there = state.sessions.all();
    for via in sessions.into_iter().filter(|session| !still_there.contains(session)) {
        fence::release(&state.database, via, state.clock.now()).await?;
    }
    Ok(())
}
