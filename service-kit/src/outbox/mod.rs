//! The outbox: how an event leaves a service exactly if the change that it tells of is committed.
//!
//! [`enqueue`] writes the event into the table `outbox` inside the caller's transaction. A [`Relay`] carries committed
//! rows to the [bus](crate::bus) and marks them sent once the bus has confirmed them. A crash between the two makes it
//! publish them again, so every event arrives *at least* once, and consumers know repeats by the event's id.
//!
//! An event that expires holds a secret. It is not published any more once it has expired, and its data does not stay: it goes
//! from the table when the event is sent, or when its time is over.
//!
//! The table is the same in every schema that publishes; `migrations/email/0008_outbox.sql` is the one to copy, with what
//! `0013_outbox_due.sql` changes. SQL here names it without its schema: the search_path of a service's connections leads to its own.

mod claim;
mod gauge;
mod relay;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

pub use gauge::lag;
pub use relay::{Pace, Relay};

use crate::bus;
use crate::event::{self, Event, Unreadable};

#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The caller built the envelope by hand, and wrongly.
    #[error("the event is not fit to be published: {0}")]
    Unreadable(#[from] Unreadable),
    /// The caller took [`event::new`] for what needs [`event::expiring`].
    #[error("a {0} holds a secret, so the event must say when it expires")]
    NeverExpires(String),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Writes `event` into the outbox. It will be published if, and only if, the caller's transaction commits.
///
/// Nobody is notified: a `NOTIFY` has each commit wait for every other one that notifies, in all databases of the server, and events are
/// written where that counts, such as at the start and the stop of each charge. The relay looks often enough.
pub async fn enqueue(connection: &mut PgConnection, event: &Event) -> Result<(), EnqueueError> {
    let id = event::id(event)?;
    let time = event::time(event)?;
    let expires_at = event::expires_at(event)?;
    if expires_at.is_none() && bus::must_expire(&event.r#type) {
        return Err(EnqueueError::NeverExpires(event.r#type.clone()));
    }
    sqlx::query!(
        r#"
        INSERT INTO outbox (id, type, source, time, data, expires_at, language)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        "#,
        id,
        event.r#type,
        event.source,
        time,
        event.data.as_ref(),
        expires_at,
        event.language,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The same for several, by one statement.
///
/// # Errors
/// As [`enqueue`]; then none of them is written.
pub async fn enqueue_all(connection: &mut PgConnection, events: &[Event]) -> Result<(), EnqueueError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        let expires_at = event::expires_at(event)?;
        if expires_at.is_none() && bus::must_expire(&event.r#type) {
            return Err(EnqueueError::NeverExpires(event.r#type.clone()));
        }
        columns.0.push(event::id(event)?);
        columns.1.push(event::time(event)?);
        columns.2.push(expires_at);
    }
    let kinds: Vec<_> = events.iter().map(|event| event.r#type.clone()).collect();
    let sources: Vec<_> = events.iter().map(|event| event.source.clone()).collect();
    let data: Vec<_> = events.iter().map(|event| event.data.to_vec()).collect();
    let languages: Vec<_> = events.iter().map(|event| event.language.clone()).collect();
    sqlx::query!(
        r#"
        INSERT INTO outbox (id, type, source, time, data, expires_at, language)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[], $6::timestamptz[], $7::text[])
        "#,
        &columns.0,
        &kinds,
        &sources,
        &columns.1,
        &data,
        &columns.2 as &[Option<DateTime<Utc>>],
        &languages as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}
