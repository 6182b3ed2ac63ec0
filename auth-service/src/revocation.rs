//! Access tokens that are void before they expire. A revocation is committed with what it follows from, every replica
//! hears of it through NOTIFY, and each replica streams it to the processes that verify tokens.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream;
use futures_util::{Stream, StreamExt as _};
use prost_types::Timestamp;
use service_kit::access::{Revocation, Revocations};
use service_kit::clock::SharedClock;
use sqlx::postgres::PgListener;
use sqlx::{PgConnection, PgPool};
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_stream::wrappers::BroadcastStream;
use uuid::Uuid;
use voltgate_proto::auth::v1::{self as proto, WatchRevocationsResponse};

use crate::State;
use crate::housekeeping::{self, in_batches};

const CHANNEL: &str = "authentication_revocation";

/// A token may be verified by a clock that is this much slow.
const SKEW: TimeDelta = TimeDelta::seconds(30);

/// How often the table is looked at though nothing was heard: a connection may break without anybody noticing.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Between attempts to listen while the database is away.
const RETRY: Duration = Duration::from_secs(1);

/// Revocations that a slow stream may be behind before it is told everything anew.
const BACKLOG: usize = 1024;

/// Revocations in one message of a stream.
const BATCH: usize = 1000;

/// Voids access tokens of these sessions: those issued before a certain second, or all of them. Takes effect everywhere
/// once the transaction commits.
pub async fn revoke(
    connection: &mut PgConnection,
    state: &State,
    sessions: &[Uuid],
    issued_before: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if sessions.is_empty() {
        return Ok(());
    }
    let lifetime = TimeDelta::from_std(state.tokens.lifetime).unwrap_or(TimeDelta::MAX);
    sqlx::query!(
        "WITH revoked AS (
             INSERT INTO authentication.revocation (session_id, issued_before, expires_at)
             SELECT session, $2, $3 FROM unnest($1::uuid[]) AS session
             RETURNING session_id, issued_before, expires_at
         )
         SELECT pg_notify($4, concat_ws(' ', session_id, extract(epoch FROM expires_at)::bigint,
                                        extract(epoch FROM issued_before)::bigint))
         FROM revoked",
        sessions,
        issued_before,
        issued_before.unwrap_or(now) + lifetime + SKEW,
        CHANNEL
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A revocation as replicas tell it: the session, when it expires, and what it is limited to.
fn parse(notice: &str) -> Option<Revocation> {
    let mut words = notice.split(' ');
    let session = Uuid::from_str(words.next()?).ok()?;
    let expires_at = words.next()?.parse().ok()?;
    let issued_before = match words.next() {
        Some(second) => Some(second.parse().ok()?),
        None => None,
    };
    Some(Revocation {
        session,
        issued_before,
        expires_at,
    })
}

/// All revocations that matter, as this replica knows them.
#[derive(Clone)]
pub struct Feed {
    database: PgPool,
    clock: SharedClock,
    known: Revocations,
    news: broadcast::Sender<Revocation>,
}

impl Feed {
    /// Knows nothing yet: [`Feed::follow`] does the rest.
    pub fn new(database: PgPool, clock: SharedClock) -> Self {
        Self {
            database,
            clock,
            known: Revocations::default(),
            news: broadcast::Sender::new(BACKLOG),
        }
    }

    pub fn known(&self) -> &Revocations {
        &self.known
    }

    /// Reads what there is, and again whenever something may have been missed.
    ///
    /// # Errors
    /// The database is away.
    pub async fn look(&self) -> Result<(), sqlx::Error> {
        let rows = sqlx::query!(
            "SELECT session_id, issued_before, expires_at FROM authentication.revocation WHERE expires_at > $1",
            self.clock.now()
        )
        .fetch_all(&self.database)
        .await?;
        let told = rows.into_iter().map(|row| Revocation {
            session: row.session_id,
            issued_before: row.issued_before.map(|time| time.timestamp()),
            expires_at: row.expires_at.timestamp(),
        });
        for revocation in self.known.add(told, self.clock.now().timestamp()) {
            self.tell(revocation);
        }
        Ok(())
    }

    /// Listens to every replica, this one included, for as long as it is polled.
    pub async fn follow(&self) {
        loop {
            if let Err(error) = self.listen().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Revocations of other replicas cannot be heard; trying again"
                );
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn listen(&self) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.database).await?;
        listener.listen(CHANNEL).await?;
        self.look().await?;
        loop {
            match timeout(LOOK_AGAIN, listener.try_recv()).await {
                Ok(notification) => match notification?.map(|heard| parse(heard.payload())) {
                    Some(Some(revocation)) => {
                        self.known.add([revocation], self.clock.now().timestamp());
                        self.tell(revocation);
                    }
                    // The connection was made anew, or a newer release says what this one does not know.
                    None | Some(None) => self.look().await?,
                },
                Err(_) => self.look().await?,
            }
        }
    }

    fn tell(&self, revocation: Revocation) {
        // Without anybody who listens there is nobody to tell.
        let _ = self.news.send(revocation);
    }

    /// Everything that is known, then what comes in.
    pub fn watch(&self) -> impl Stream<Item = WatchRevocationsResponse> + Send + use<> {
        // In this order, so that nothing falls between the two.
        let news = BroadcastStream::new(self.news.subscribe());
        let known = self.known.clone();
        let first = stream::iter(everything(&known));
        let news = news.flat_map(move |news| match news {
            Ok(revocation) => stream::iter(vec![message(&[revocation], true)]),
            Err(_lagged) => stream::iter(everything(&known)),
        });
        first.chain(news)
    }
}

/// Removes what has expired.
pub async fn remove_expired(state: &State) -> Result<(), sqlx::Error> {
    in_batches(|| {
        sqlx::query!(
            "DELETE FROM authentication.revocation WHERE id IN (
                 SELECT id FROM authentication.revocation WHERE expires_at <= $1
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
             )",
            state.clock.now(),
            housekeeping::BATCH
        )
        .execute(&state.database)
    })
    .await
}

/// As many messages as it takes; one even where there is nothing to tell.
fn everything(known: &Revocations) -> Vec<WatchRevocationsResponse> {
    let all = known.all();
    let mut messages: Vec<_> = all.chunks(BATCH).map(|batch| message(batch, false)).collect();
    match messages.last_mut() {
        Some(last) => last.complete = true,
        None => messages.push(message(&[], true)),
    }
    messages
}

fn message(revocations: &[Revocation], complete: bool) -> WatchRevocationsResponse {
    let second = |seconds| Timestamp { seconds, nanos: 0 };
    let revocations = revocations.iter().map(|revocation| proto::Revocation {
        session_id: revocation.session.to_string(),
        issued_before: revocation.issued_before.map(second),
        expires_at: Some(second(revocation.expires_at)),
    });
    WatchRevocationsResponse {
        revocations: revocations.collect(),
        complete,
        ..WatchRevocationsResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_read_with_and_without_a_limit() {
        let session = Uuid::now_v7();
        let revocation = |issued_before| Revocation {
            session,
            issued_before,
            expires_at: 330,
        };
        assert_eq!(parse(&format!("{session} 330")), Some(revocation(None)));
        assert_eq!(parse(&format!("{session} 330 12")), Some(revocation(Some(12))));
        for unknown in ["", "x 330", &format!("{session}"), &format!("{session} 330 soon")] {
            assert_eq!(parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn everything_is_told_in_batches_of_which_the_last_says_so() {
        let known = Revocations::default();
        assert_eq!(everything(&known), [message(&[], true)]);
        let many = (0..2500).map(|number| Revocation {
            session: Uuid::from_u128(number),
            issued_before: None,
            expires_at: 330,
        });
        known.add(many, 0);
        let sizes: Vec<_> = everything(&known)
            .iter()
            .map(|message| (message.revocations.len(), message.complete))
            .collect();
        assert_eq!(sizes, [(1000, false), (1000, false), (500, true)]);
    }
}
