//! The relay: carries committed rows of one schema's outbox to the bus.
//!
//! Any number of replicas may run it on the same outbox: a row is published by the one that holds its lease. Rows go out
//! in the order in which they were written, a batch at a time, as long as one relay runs and nothing fails; consumers
//! must not rely on more than that. A row that the bus did not take is tried again after those that are new by then, so that a
//! queue that is full keeps nothing else waiting.
//!
//! A row that no bus takes is set aside, and stays until somebody has decided about it (docs/operating.md): what it tells is lost
//! to no one before. Only what expires goes all the same, for it holds a secret.

use std::time::Duration;

use metrics::{Counter, SharedString, counter};
use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    claim::{self, Claimed},
    gauge,
};
use crate::{
    backoff::Backoff,
    bus::{self, Outcome, Publisher, Unavailable},
    event::Event,
};

/// How a relay goes about its work. The defaults are what services use; tests are in more of a hurry.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Rows published together.
    pub batch: i64,
    /// How long a claimed row is left to the relay that claimed it. Longer than `publish_timeout`, so that no row is
    /// claimed a second time while its first publish can still succeed.
    pub lease: Duration,
    /// After which a publish counts as failed, whatever the bus is doing.
    pub publish_timeout: Duration,
    /// How often to look for what there is to publish.
    pub poll: Duration,
    /// Pauses of the relay while the bus or the database is down.
    pub outage: Backoff,
    /// Pauses of a single row that the bus does not take.
    pub row: Backoff,
    /// Age at which such a row is given up. As long as the archive queue of RabbitMQ keeps what nobody consumes.
    pub give_up_after: Duration,
    /// How long sent rows are kept for whoever wants to look.
    pub retention: Duration,
    /// Between two measurements of the outbox and two rounds of pruning; expired events go as late as this.
    pub housekeeping: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            batch: 100,
            lease: Duration::from_secs(20),
            publish_timeout: Duration::from_secs(15),
            poll: Duration::from_millis(250),
            outage: Backoff {
                first: Duration::from_millis(500),
                longest: Duration::from_secs(30),
            },
            row: Backoff {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(5 * 60),
            },
            give_up_after: Duration::from_secs(7 * 24 * 3600),
            retention: Duration::from_secs(7 * 24 * 3600),
            housekeeping: Duration::from_secs(15),
        }
    }
}

/// Most rows deleted by one statement, so that it never holds up publishing.
const DELETED_AT_ONCE: i64 = 1000;

/// See the [module](self).
pub struct Relay {
    database: PgPool,
    publisher: Box<dyn Publisher>,
    pace: Pace,
}

/// What one pass over the outbox found.
enum Pass {
    /// A full batch, so there may be more.
    More,
    /// No more rows than there was room for.
    Done,
    /// The bus takes nothing at all.
    BusDown(Unavailable),
}

impl Relay {
    pub fn new(database: PgPool, publisher: Box<dyn Publisher>) -> Self {
        Self::with_pace(database, publisher, Pace::default())
    }

    pub fn with_pace(database: PgPool, publisher: Box<dyn Publisher>, pace: Pace) -> Self {
        Self {
            database,
            publisher,
            pace,
        }
    }

    /// Runs until `shutdown`, finishing the batch at hand. Neither a dead bus nor a dead database ends it.
    pub async fn run(mut self, shutdown: CancellationToken) {
        announce();
        let Some(schema) = self.schema(&shutdown).await else {
            return;
        };
        let mut next_housekeeping = Instant::now();
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            if Instant::now() >= next_housekeeping {
                self.keep_house(&schema).await;
                next_housekeeping = Instant::now() + self.pace.housekeeping;
            }
            let problem = match self.pass().await {
                Ok(Pass::More) => {
                    failures = 0;
                    continue;
                }
                Ok(Pass::Done) => {
                    failures = 0;
                    tokio::select! {
                        () = tokio::time::sleep(self.pace.poll) => {}
                        () = shutdown.cancelled() => {}
                    }
                    continue;
                }
                Ok(Pass::BusDown(unavailable)) => unavailable.to_string(),
                Err(error) => format!("the database does not answer: {error}"),
            };
            failures += 1;
            let pause = self.pace.outage.after(failures);
            tracing::warn!(
                schema,
                failures,
                pause_ms = pause.as_millis() as u64,
                "Events wait in the outbox: {problem}"
            );
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// The schema that this pool's connections work in; `None` if told to stop before the database has said.
    async fn schema(&self, shutdown: &CancellationToken) -> Option<String> {
        let mut failures = 0;
        loop {
            let answer = sqlx::query_scalar!(r#"SELECT current_schema()::text AS "schema!""#)
                .fetch_one(&self.database)
                .await;
            let error = match answer {
                Ok(schema) => return Some(schema),
                Err(error) => error,
            };
            failures += 1;
            tracing::warn!(%error, "The relay waits for its database");
            tokio::select! {
                () = tokio::time::sleep(self.pace.outage.after(failures)) => {}
                () = shutdown.cancelled() => return None,
            }
        }
    }

    /// Publishes one batch and settles every row of it.
    async fn pass(&mut self) -> Result<Pass, sqlx::Error> {
        let claim = Uuid::new_v4();
        let rows = claim::take(&self.database, claim, self.pace.batch, self.pace.lease).await?;
        if rows.is_empty() {
            return Ok(Pass::Done);
        }
        let events: Vec<Event> = rows.iter().map(|row| row.event.clone()).collect();
        let published = timeout(self.pace.publish_timeout, self.publisher.publish(&events))
            .await
            .unwrap_or_else(|_| {
                Err(Unavailable::because(format!(
                    "no answer from the bus within {:?}",
                    self.pace.publish_timeout
                )))
            });
        match published {
            Ok(outcomes) => {
                self.settle(claim, &rows, outcomes).await?;
                let full = i64::try_from(rows.len()).is_ok_and(|taken| taken >= self.pace.batch);
                Ok(if full { Pass::More } else { Pass::Done })
            }
            Err(unavailable) => {
                let positions: Vec<i64> = rows.iter().map(|row| row.position).collect();
                claim::release(&self.database, claim, &positions).await?;
                Ok(Pass::BusDown(unavailable))
            }
        }
    }

    async fn settle(&self, claim: Uuid, rows: &[Claimed], outcomes: Vec<Outcome>) -> Result<(), sqlx::Error> {
        let (sent, left): (Vec<_>, Vec<_>) = rows
            .iter()
            .zip(outcomes)
            .partition(|(_, outcome)| matches!(outcome, Outcome::Published));
        // First what is out already: should the database go away now, the fewer rows are published again.
        let positions: Vec<i64> = sent.iter().map(|(row, _)| row.position).collect();
        claim::mark_sent(&self.database, &positions).await?;
        for (row, _) in sent {
            count("published", &row.event.r#type);
            tracing::debug!(event = row.event.id, kind = row.event.r#type, "An event was published");
        }
        let mut postponed = Vec::new();
        for (row, outcome) in left {
            match outcome {
                Outcome::Published => {}
                Outcome::Retry(reason) if row.age > self.pace.give_up_after => {
                    let reason = format!("given up: {reason}");
                    self.bury(claim, row, &reason).await?;
                }
                Outcome::Retry(reason) => {
                    self.postpone(claim, row, &reason).await?;
                    postponed.push(reason);
                }
                Outcome::Reject(reason) => self.bury(claim, row, &reason).await?,
            }
        }
        if let Some(reason) = postponed.first() {
            let events = postponed.len();
            tracing::warn!(events, "Events stay in the outbox for now; the first because {reason}");
        }
        Ok(())
    }

    async fn postpone(&self, claim: Uuid, row: &Claimed, reason: &str) -> Result<(), sqlx::Error> {
        let failures = u32::try_from(row.attempts).unwrap_or(0).saturating_add(1);
        count("retried", &row.event.r#type);
        tracing::debug!(
            event = row.event.id,
            kind = row.event.r#type,
            failures,
            "An event stays in the outbox: {reason}"
        );
        let pause = self.pace.row.after(failures);
        claim::postpone(&self.database, claim, row.position, pause, reason).await
    }

    async fn bury(&self, claim: Uuid, row: &Claimed, reason: &str) -> Result<(), sqlx::Error> {
        count("dead", &row.event.r#type);
        tracing::error!(
            event = row.event.id,
            kind = row.event.r#type,
            "An event was set aside in the outbox: {reason}"
        );
        claim::bury(&self.database, claim, row.position, reason).await
    }

    async fn keep_house(&self, schema: &str) {
        let expired = self.delete_expired(schema).await;
        let pruned = self.prune().await;
        let measured = gauge::measure(&self.database, schema).await;
        if let Err(error) = expired.and(pruned).and(measured) {
            tracing::debug!(schema, %error, "The outbox could not be measured or pruned this time");
        }
    }

    /// All that are old by now: one statement a round would fall behind a busy day.
    async fn prune(&self) -> Result<(), sqlx::Error> {
        let at_once = u64::try_from(DELETED_AT_ONCE).unwrap_or(u64::MAX);
        while claim::prune(&self.database, self.pace.retention, DELETED_AT_ONCE).await? == at_once {}
        Ok(())
    }

    /// All of them, since none may stay: a statement that finds less than it may take has left nothing behind.
    async fn delete_expired(&self, schema: &str) -> Result<(), sqlx::Error> {
        loop {
            let kinds = claim::delete_expired(&self.database, DELETED_AT_ONCE).await?;
            for kind in &kinds {
                count("expired", kind);
            }
            if let Some(kind) = kinds.first() {
                let events = kinds.len();
                tracing::warn!(
                    schema,
                    events,
                    "Events expired before anybody took them; the first is a {kind}"
                );
            }
            if i64::try_from(kinds.len()).is_ok_and(|deleted| deleted < DELETED_AT_ONCE) {
                return Ok(());
            }
        }
    }
}

/// Has counters begin with 0, so that their first rise is seen as one.
fn announce() {
    for kind in bus::types() {
        for outcome in ["published", "retried", "expired", "dead"] {
            counter(outcome, kind.into()).increment(0);
        }
    }
}

fn count(outcome: &'static str, kind: &str) {
    counter(outcome, kind.to_owned().into()).increment(1);
}

fn counter(outcome: &'static str, kind: SharedString) -> Counter {
    counter!("voltgate_outbox_events_total", "outcome" => outcome, "type" => kind)
}
