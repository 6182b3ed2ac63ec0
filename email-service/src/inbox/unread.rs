//! Events that came in when nobody here knew what they are, as they do while one replica after the other is upgraded: their data stays in
//! the inbox, and what follows from them is done by the first version that knows.

use chrono::{DateTime, Utc};
use prost::Message;
use prost::bytes::Bytes;
use service_kit::bus::rabbitmq::topology::EMAIL_SERVICE;
use service_kit::event::{self, Event, Unreadable};
use sqlx::PgConnection;
use uuid::Uuid;

use super::decision::{Decision, decide};
use super::{TakeInError, act};
use crate::State;

/// Reads all that this version knows by now.
pub(crate) async fn read(state: &State) -> Result<(), sqlx::Error> {
    while read_one(state).await? {}
    Ok(())
}

/// Whether there was one. Each is a transaction of its own, so that one that turns out to be unreadable holds up no other.
async fn read_one(state: &State) -> Result<bool, sqlx::Error> {
    let mut transaction = state.database.begin().await?;
    let Some((id, event)) = next(&mut transaction).await? else {
        return Ok(false);
    };
    match act_on(&mut transaction, id, &event, state.clock.now()).await {
        Ok(()) => transaction.commit().await?,
        Err(error) if error.is_about_the_event() => {
            transaction.rollback().await?;
            let reason = error.to_string();
            state.dead_letters.set_aside(&event.encode_to_vec(), &reason).await?;
            // It counts as never taken in, so that whoever has the dead letter tried again is not told that it has been.
            sqlx::query!("DELETE FROM email.inbox WHERE event_id = $1 AND unread IS NOT NULL", id)
                .execute(&state.database)
                .await?;
        }
        Err(TakeInError::Database(error)) => return Err(error),
        Err(TakeInError::Unreadable(_)) => {}
    }
    Ok(true)
}

/// The one that has waited longest.
async fn next(connection: &mut PgConnection) -> Result<Option<(Uuid, Event)>, sqlx::Error> {
    let known: Vec<_> = EMAIL_SERVICE.types.iter().map(|&name| name.to_owned()).collect();
    let row = sqlx::query!(
        r#"SELECT event_id, type AS kind, source, time, language, unread AS "unread!" FROM email.inbox
           WHERE unread IS NOT NULL AND type = ANY($1)
           ORDER BY received_at LIMIT 1 FOR UPDATE SKIP LOCKED"#,
        &known,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let event = Event {
            id: row.event_id.to_string(),
            r#type: row.kind,
            source: row.source,
            time: Some(event::timestamp(row.time)),
            data: Bytes::from(row.unread),
            expires_at: None,
            language: row.language,
        };
        (row.event_id, event)
    }))
}

async fn act_on(connection: &mut PgConnection, id: Uuid, event: &Event, now: DateTime<Utc>) -> Result<(), TakeInError> {
    let decision = decide(event, now)?;
    if matches!(decision, Decision::UnknownType) {
        return Err(Unreadable::Data(event.r#type.clone()).into());
    }
    sqlx::query!(
        "UPDATE email.inbox SET outcome = $2, unread = NULL, language = NULL WHERE event_id = $1",
        id,
        decision.outcome(),
    )
    .execute(&mut *connection)
    .await?;
    Ok(act(connection, id, event, &decision, now).await?)
}
