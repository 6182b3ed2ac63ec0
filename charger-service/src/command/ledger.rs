//! The ledger's rows, and the only ways they change. Whatever gives a command its outcome tells whoever waits for it.

pub mod bulk;
pub mod ending;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::status::Status;
use crate::audit::{self, Author, Entry};
use crate::event::Kind;
use crate::notice::{Notice, tell};
use crate::redact;
use crate::registration::pending::Step;
use crate::session::fence::Via;
use crate::transfer::{NewTransfer, grant};

/// Of a command for which there has to be room: far longer than it may take.
const LONGEST_UNDER_WAY: TimeDelta = TimeDelta::minutes(10);

#[derive(Debug)]
pub struct NewCommand<'a> {
    pub id: Uuid,
    pub charge_point: Uuid,
    pub identity: &'a str,
    pub action: &'a str,
    /// JSON.
    pub payload: &'a str,
    pub author: &'a Author,
    pub idempotency_key: Option<&'a str>,
    /// Tells a repeated request from another one under the same key.
    pub digest: &'a [u8],
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    /// Leave for the transfer that it asks for, and how long that is good.
    pub transfer: Option<(&'a NewTransfer, TimeDelta)>,
    pub room: Option<Room>,
}

/// How many commands of their author may be under way: those that wait for a charge point or for its answer, and starts that were
/// agreed to a short while ago, since a connector waits for a cable meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub most: i64,
    /// For how long a start that was agreed to counts.
    pub held: TimeDelta,
}

#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    #[error("the idempotency key has been used")]
    KeyUsed,
    #[error("as many commands of the author are under way as may")]
    NoRoom,
    #[error("the charge point is retired")]
    Retired,
    #[error("what was to be fetched is not there any more")]
    FileGone,
    #[error("the command could not be stored")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for EnqueueError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("command_idempotency_key_unique") => Self::KeyUsed,
            Some("transfer_file_id_fkey") => Self::FileGone,
            _ => Self::Database(error),
        }
    }
}

/// Queues a command and wakes the session that will send it.
pub async fn enqueue(database: &PgPool, new: &NewCommand<'_>) -> Result<(), EnqueueError> {
    let mut transaction = service_kit::database::begin(database).await?;
    if let Some(room) = new.room {
        take_room(&mut transaction, new, room).await?;
    }
    // Whoever retires the charge point at this moment comes first, and calls off what is queued by then.
    let queued = sqlx::query!(
        "INSERT INTO ocpp.command (id, charge_point_id, action, payload, requested_by, idempotency_key, request_digest,
             created_at, expires_at)
         SELECT $1, id, $3, $4::text::json, $5, $6, $7, $8, $9 FROM ocpp.charge_point
         WHERE id = $2 AND retired_at IS NULL FOR KEY SHARE",
        new.id,
        new.charge_point,
        new.action,
        new.payload,
        new.author.to_string(),
        new.idempotency_key,
        new.digest,
        new.created_at,
        new.expires_at,
    )
    .execute(&mut *transaction)
    .await?;
    if queued.rows_affected() == 0 {
        return Err(EnqueueError::Retired);
    }
    if let Some((transfer, validity)) = new.transfer {
        let command = (new.charge_point, new.id);
        grant(&mut transaction, transfer, command, new.expires_at, validity).await?;
    }
    // The payload, which may hold a secret for a while, stays in the ledger.
    let entry = Entry::new(audit::Action::CommandRequested, new.created_at, new.author)
        .on_charge_point(new.identity)
        .with("action", Some(new.action))
        .with("command", Some(new.id.to_string()));
    audit::record(&mut transaction, entry).await?;
    tell(
        &mut transaction,
        &[Notice::Queued {
            charge_point: new.charge_point,
        }],
    )
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Nobody else counts the author's commands, or queues one, until this one is queued.
async fn take_room(connection: &mut PgConnection, new: &NewCommand<'_>, room: Room) -> Result<(), EnqueueError> {
    let author = new.author.to_string();
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", author)
        .execute(&mut *connection)
        .await?;
    // What is older has expired, or its answer was due long ago.
    let before = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE status IN ('queued', 'sent')
               OR action = 'RemoteStartTransaction' AND status = 'accepted' AND completed_at > $4) AS "under_way!",
             bool_or(idempotency_key = $2) IS TRUE AS "is_known!"
           FROM ocpp.command
           WHERE requested_by = $1 AND left(requested_by, 7) = 'driver ' AND created_at > $3"#,
        author,
        new.idempotency_key,
        new.created_at - LONGEST_UNDER_WAY,
        new.created_at - room.held,
    )
    .fetch_one(connection)
    .await?;
    if before.is_known {
        Err(EnqueueError::KeyUsed)
    } else if before.under_way >= room.most {
        Err(EnqueueError::NoRoom)
    } else {
        Ok(())
    }
}

/// Whom commands are of that nobody has asked for, such as those that follow from what a charge point said.
pub const AUTOMATIC: &str = "automatic";

/// Queues a command that nobody asked for, and wakes the session. Returns its id.
pub async fn enqueue_automatic(
    connection: &mut PgConnection,
    charge_point: Uuid,
    action: &str,
    payload: &str,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Uuid, sqlx::Error> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO ocpp.command (id, charge_point_id, action, payload, requested_by, request_digest, created_at,
             expires_at)
         VALUES ($1, $2, $3, $4::text::json, $5, '', $6, $7)",
        id,
        charge_point,
        action,
        payload,
        AUTOMATIC,
        created_at,
        expires_at,
    )
    .execute(&mut *connection)
    .await?;
    tell(connection, &[Notice::Queued { charge_point }]).await?;
    Ok(id)
}

/// How those begin whom commands are of that a charge point is sent while it is pending. Who has set them follows.
const REGISTRATION: &str = "registration";

/// Queues commands of the registration, in their order, and wakes the session.
pub async fn enqueue_pending(
    connection: &mut PgConnection,
    charge_point: Uuid,
    steps: &[Step<Box<RawValue>>],
    asked_by: Option<&str>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    // Ids that are made one after the other are in that order.
    let ids: Vec<Uuid> = steps.iter().map(|_| Uuid::now_v7()).collect();
    let actions: Vec<&str> = steps.iter().map(|step| step.action.as_str()).collect();
    let payloads: Vec<&str> = steps.iter().map(|step| step.payload.get()).collect();
    let requested_by = match asked_by {
        Some(author) => format!("{REGISTRATION} by {author}"),
        None => REGISTRATION.to_owned(),
    };
    sqlx::query!(
        "INSERT INTO ocpp.command (id, charge_point_id, action, payload, requested_by, request_digest, created_at,
             expires_at)
         SELECT id, $1, action, payload::json, $5, '', $6, $7
         FROM unnest($2::uuid[], $3::text[], $4::text[]) AS step (id, action, payload)",
        charge_point,
        &ids,
        &actions as &[&str],
        &payloads as &[&str],
        requested_by,
        created_at,
        expires_at,
    )
    .execute(&mut *connection)
    .await?;
    // The boot may have come in without a socket, or on another one than the present one.
    tell(connection, &[Notice::Queued { charge_point }]).await
}

/// Drops what an earlier answer to a BootNotification had queued and was not sent. Nothing has come of it, and a charge point
/// that boots again and again would leave rows without end.
pub async fn drop_pending(connection: &mut PgConnection, charge_point: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM ocpp.command WHERE charge_point_id = $1 AND status = 'queued' AND starts_with(requested_by, $2)",
        charge_point,
        REGISTRATION,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A command that is the session's to send, or was to be sent and never will be.
#[derive(Debug)]
pub struct Claimed {
    pub id: Uuid,
    pub action: String,
    pub payload: Json<Box<RawValue>>,
}

/// Takes the oldest command that may be sent and marks it sent, before it leaves in the frame of this number. Nothing goes to a charge point that was
/// rejected, and no remote start or stop to one that is pending. A session that was superseded, or goes on on another
/// stream, gets nothing: it holds the session's row until it commits, and a newer one waits for that.
pub async fn claim(
    connection: &mut PgConnection,
    via: Via,
    frame_number: i64,
    now: DateTime<Utc>,
) -> Result<Option<Claimed>, sqlx::Error> {
    let claimed = sqlx::query_as!(
        Claimed,
        r#"UPDATE ocpp.command SET status = 'sent', sent_at = $3, session_epoch = $2, frame_number = $5
         WHERE id = (
             SELECT command.id
             FROM ocpp.command
             JOIN ocpp.session ON session.charge_point_id = command.charge_point_id
                 AND session.epoch = $2 AND session.stream = $4
             JOIN ocpp.charge_point ON charge_point.id = command.charge_point_id
             WHERE command.charge_point_id = $1 AND command.status = 'queued' AND command.expires_at > $3
               AND (coalesce(boot_answer, 'Accepted') = 'Accepted'
                    OR (boot_answer = 'Pending' AND action NOT IN ('RemoteStartTransaction', 'RemoteStopTransaction')))
             ORDER BY command.id LIMIT 1
             FOR UPDATE OF command SKIP LOCKED FOR SHARE OF session)
         RETURNING id, action, payload AS "payload: Json<Box<RawValue>>""#,
        via.charge_point,
        via.epoch,
        now,
        via.stream,
        frame_number,
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(claimed) = &claimed {
        forget_secret(connection, claimed).await?;
    }
    Ok(claimed)
}

/// A command is sent once, so what is secret in it is not needed again.
async fn forget_secret(connection: &mut PgConnection, claimed: &Claimed) -> Result<(), sqlx::Error> {
    let redacted = redact::request(&claimed.action, claimed.payload.get());
    if redacted != claimed.payload.get() {
        sqlx::query!(
            "UPDATE ocpp.command SET payload = $2::text::json WHERE id = $1",
            claimed.id,
            redacted.as_ref()
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// A command that the session has sent on an earlier stream, and whose answer is due.
#[derive(Debug)]
pub struct Unanswered {
    pub id: Uuid,
    pub action: String,
    /// Without secrets.
    pub payload: Json<Box<RawValue>>,
    pub sent_at: DateTime<Utc>,
    /// Its row in the message log, which is gone only where the log was dropped meanwhile.
    pub message_row: Option<Uuid>,
    /// The number of its frame where the gateway does not have it: it has to be sent again, as the next one.
    pub lost: Option<i64>,
}

/// What a session that is resumed still has to hear back of. `received`: the number of the last of our frames that the
/// gateway has.
pub async fn restore(
    connection: &mut PgConnection,
    via: Via,
    received: i64,
) -> Result<Option<Unanswered>, sqlx::Error> {
    sqlx::query_as!(
        Unanswered,
        r#"WITH due AS (
             UPDATE ocpp.command AS due
             SET frame_number = CASE WHEN due.frame_number > $3 THEN $3 + 1 ELSE due.frame_number END
             WHERE due.charge_point_id = $1 AND due.status = 'sent' AND due.session_epoch = $2
             RETURNING id, action, payload, sent_at, frame_number)
         SELECT due.id AS "id!", due.action AS "action!", due.payload AS "payload!: Json<Box<RawValue>>",
             due.sent_at AS "sent_at!", message.id AS "message_row?",
             CASE WHEN due.frame_number > $3 THEN due.frame_number END AS "lost?"
         FROM due
         LEFT JOIN ocpp.message ON message.charge_point_id = $1 AND message.requested_at = due.sent_at
             AND message.origin = 'csms' AND message.message_id = due.id::text"#,
        via.charge_point,
        via.epoch,
        received,
    )
    .fetch_optional(connection)
    .await
}

/// How a command ended, as the charge point told or failed to.
#[derive(Debug)]
pub struct Outcome<'a> {
    pub status: Status,
    /// The CALLRESULT's payload, secrets redacted.
    pub response: Option<&'a str>,
    pub error_code: Option<&'a str>,
    pub error_description: Option<&'a str>,
}

/// Gives a command its outcome; what follows from it (`ended`) is for the caller, once the answer has had its effect. False
/// where it had one already: its session was thought dead.
pub async fn finish(
    connection: &mut PgConnection,
    via: Via,
    command: Uuid,
    outcome: &Outcome<'_>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let finished = sqlx::query!(
        "WITH finished AS (
             UPDATE ocpp.command
             SET status = $3, response = $4, error_code = $5, error_description = $6, completed_at = $7
             WHERE id = $1 AND status = 'sent' AND session_epoch = $2
             RETURNING id, charge_point_id, action, status)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $7, $8, identity, site_id,
             json_build_object('commandId', finished.id, 'action', action, 'status', status)
         FROM finished JOIN ocpp.charge_point ON charge_point.id = charge_point_id",
        command,
        via.epoch,
        outcome.status.as_str(),
        outcome.response,
        outcome.error_code,
        outcome.error_description,
        now,
        Kind::CommandFinished.as_str(),
    )
    .execute(&mut *connection)
    .await?
    .rows_affected()
        > 0;
    if finished {
        tell(connection, &[Notice::Completed { command }]).await?;
    }
    Ok(finished)
}
