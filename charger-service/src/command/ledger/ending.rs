//! How commands end without the charge point's answer: their session is over, their time is, or nobody wants them any more.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Claimed;
use crate::command::ended::{Finished, ended};
use crate::event::Kind;
use crate::notice::{Notice, tell};
use crate::redact;

/// A charge point, and the epoch up to which its sessions are over.
pub type Ended = (Uuid, i64);

/// Ends what these sessions, and those before them, had sent: nobody will hear the answer. Whether the charge point did as it
/// was told is unknown, and said so.
pub async fn abandon(connection: &mut PgConnection, ended: &[Ended], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let (charge_points, epochs): (Vec<Uuid>, Vec<i64>) = ended.iter().copied().unzip();
    let abandoned = sqlx::query_as!(
        Finished,
        "UPDATE ocpp.command
         SET status = 'timeout', completed_at = $3,
             error_description = 'the connection ended before the charge point answered'
         FROM unnest($1::uuid[], $2::bigint[]) AS ended (charge_point_id, epoch)
         WHERE command.charge_point_id = ended.charge_point_id AND status = 'sent' AND session_epoch <= ended.epoch
         RETURNING id, action",
        &charge_points,
        &epochs,
        now,
    )
    .fetch_all(&mut *connection)
    .await?;
    completed(connection, &abandoned, now).await
}

/// Ends what waited too long to be sent.
pub async fn expire(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    let expired = sqlx::query_as!(
        Claimed,
        r#"UPDATE ocpp.command SET status = 'expired', completed_at = $1
           WHERE id IN (SELECT id FROM ocpp.command WHERE status = 'queued' AND expires_at <= $1 FOR UPDATE SKIP LOCKED)
           RETURNING id, action, payload AS "payload: Json<Box<RawValue>>""#,
        now,
    )
    .fetch_all(&mut *transaction)
    .await?;
    never_sent(&mut transaction, expired, now).await?;
    transaction.commit().await
}

/// Ends what waits to be sent to a charge point, because nobody is there any more for whom it was meant.
pub async fn call_off(
    connection: &mut PgConnection,
    charge_point: Uuid,
    why: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let called_off = sqlx::query_as!(
        Claimed,
        r#"UPDATE ocpp.command SET status = 'expired', completed_at = $2, error_description = $3
           WHERE charge_point_id = $1 AND status = 'queued'
           RETURNING id, action, payload AS "payload: Json<Box<RawValue>>""#,
        charge_point,
        now,
        why,
    )
    .fetch_all(&mut *connection)
    .await?;
    never_sent(connection, called_off, now).await
}

/// Ends those of the commands that have not been sent, because they are not wanted any more.
pub async fn withdraw(connection: &mut PgConnection, commands: &[Uuid], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let withdrawn = sqlx::query_as!(
        Claimed,
        r#"UPDATE ocpp.command
           SET status = 'expired', completed_at = $2, error_description = 'it was withdrawn before it was sent'
           WHERE id = ANY($1) AND status = 'queued'
           RETURNING id, action, payload AS "payload: Json<Box<RawValue>>""#,
        commands,
        now,
    )
    .fetch_all(&mut *connection)
    .await?;
    never_sent(connection, withdrawn, now).await
}

/// What is secret in commands that will never be sent is not needed any more.
async fn never_sent(
    connection: &mut PgConnection,
    commands: Vec<Claimed>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (ids, payloads): (Vec<Uuid>, Vec<String>) = commands
        .iter()
        .filter_map(
            |command| match redact::request(&command.action, command.payload.get()) {
                Cow::Borrowed(_) => None,
                Cow::Owned(redacted) => Some((command.id, redacted)),
            },
        )
        .unzip();
    if !ids.is_empty() {
        sqlx::query!(
            "UPDATE ocpp.command SET payload = redacted.payload::json
             FROM unnest($1::uuid[], $2::text[]) AS redacted (id, payload) WHERE command.id = redacted.id",
            &ids,
            &payloads,
        )
        .execute(&mut *connection)
        .await?;
    }
    let finished: Vec<_> = commands
        .into_iter()
        .map(|command| Finished {
            id: command.id,
            action: command.action,
        })
        .collect();
    completed(connection, &finished, now).await
}

/// Does what follows from it that commands have ended, and tells whoever listens or waits.
pub(super) async fn completed(
    connection: &mut PgConnection,
    commands: &[Finished],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if commands.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = commands.iter().map(|command| command.id).collect();
    sqlx::query!(
        "INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $2, $3, identity, site_id,
             json_build_object('commandId', command.id, 'action', action, 'status', status)
         FROM ocpp.command JOIN ocpp.charge_point ON charge_point.id = charge_point_id
         WHERE command.id = ANY ($1)",
        &ids,
        now,
        Kind::CommandFinished.as_str(),
    )
    .execute(&mut *connection)
    .await?;
    ended(connection, commands, now).await?;
    let notices: Vec<_> = ids.into_iter().map(|command| Notice::Completed { command }).collect();
    tell(connection, &notices).await
}
