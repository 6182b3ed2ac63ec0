//! Brings the list of a charge point to what it should hold, by one SendLocalList after the other.
//!
//! A command is queued empty, and filled when it leaves: with what differs by then from what the charge point has
//! confirmed, in as many entries as it takes in one message, or with the whole list where nobody knows for sure what it
//! has. In the transaction of its answer the next is queued, until nothing differs. So whatever changes meanwhile is on
//! its way, no restart loses the thread, and nothing is sent twice.

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::database;
use service_kit::reason::Reason;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::wanted::{self, MOST_ENTRIES, TOO_MANY};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::charge_point::find::{InUseError, in_use};
use crate::command::ledger::AUTOMATIC;
use crate::command::several;
use crate::v1_6::local_list::{LONGEST_ID_TAG, Update};

const ACTION: &str = "SendLocalList";

/// A command waits for its charge point as long as the wish stands: what is in it is never old.
const WAITS: TimeDelta = TimeDelta::days(3650);

/// An automatic list is looked at so often where nothing is known to have changed.
const LOOK: TimeDelta = TimeDelta::hours(1);

/// And so long after the charge point did not take it.
const AGAIN: TimeDelta = TimeDelta::minutes(15);

#[derive(Debug, Error)]
pub enum SynchronizeError {
    #[error(transparent)]
    ChargePoint(#[from] InUseError),
    #[error("nobody has stated what the list should hold")]
    NotDesired,
    #[error("the commands could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<SynchronizeError> for Status {
    fn from(error: SynchronizeError) -> Self {
        match error {
            SynchronizeError::ChargePoint(error) => error.into(),
            SynchronizeError::NotDesired => {
                Reason::NotFound.status("Nobody has stated what the local list of the charge point should hold")
            }
            SynchronizeError::Database(error) => database::failed(&error),
        }
    }
}

/// Begins, where nothing is under way.
pub async fn synchronize(state: &State, identity: &str, author: &Author) -> Result<(), SynchronizeError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let charge_point = in_use(&mut transaction, identity).await?;
    let is_desired = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ocpp.desired_local_list WHERE charge_point_id = $1) AS "desired!""#,
        charge_point,
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !is_desired {
        return Err(SynchronizeError::NotDesired);
    }
    let began = begin(&mut transaction, &[charge_point], &author.to_string(), now).await?;
    let entry = Entry::new(Action::LocalListSynchronized, now, author).on_charge_point(identity);
    audit::record(&mut transaction, entry).await?;
    told(&mut transaction, &began, identity, author, now).await?;
    transaction.commit().await?;
    Ok(())
}

/// Tells the audit log of commands that an operator asked for.
pub async fn told(
    connection: &mut PgConnection,
    commands: &[Uuid],
    identity: &str,
    author: &Author,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let entries = commands.iter().map(|command| {
        Entry::new(Action::CommandRequested, now, author)
            .on_charge_point(identity)
            .with("action", Some(ACTION))
            .with("command", Some(command.to_string()))
    });
    audit::record_all(connection, entries).await
}

struct Look {
    charge_point_id: Uuid,
    is_too_long: bool,
    is_sure: bool,
    differs: bool,
    next_expiry: Option<DateTime<Utc>>,
}

/// Queues the first command for each of these charge points whose list is not what it should be, where none is under
/// way. Returns the commands.
pub async fn begin(
    connection: &mut PgConnection,
    charge_points: &[Uuid],
    requested_by: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let looks = look(connection, charge_points, now).await?;
    let (too_long, others): (Vec<_>, Vec<_>) = looks.into_iter().partition(|look| look.is_too_long);
    let (differing, fine): (Vec<_>, Vec<_>) = others.into_iter().partition(|look| look.differs || !look.is_sure);
    let ids = |looks: &[Look]| looks.iter().map(|look| look.charge_point_id).collect::<Vec<_>>();
    sqlx::query!(
        "UPDATE ocpp.desired_local_list SET state = 'tooLong', problem = NULL, due_at = $2 WHERE charge_point_id = ANY($1)",
        &ids(&too_long),
        now + LOOK,
    )
    .execute(&mut *connection)
    .await?;
    let due: Vec<DateTime<Utc>> = fine.iter().map(|look| next_look(look.next_expiry, now)).collect();
    sqlx::query!(
        "UPDATE ocpp.desired_local_list AS list
         SET state = 'synchronized', problem = NULL, synchronized_at = $2, due_at = fine.due_at
         FROM unnest($1::uuid[], $3::timestamptz[]) AS fine (charge_point_id, due_at)
         WHERE list.charge_point_id = fine.charge_point_id",
        &ids(&fine),
        now,
        &due,
    )
    .execute(&mut *connection)
    .await?;
    let differing = ids(&differing);
    let commands = queue(connection, &differing, requested_by, now).await?;
    sqlx::query!(
        "UPDATE ocpp.desired_local_list AS list
         SET state = 'pending', problem = NULL, command_id = begun.command_id, steps = 1, is_retried = false
         FROM unnest($1::uuid[], $2::uuid[]) AS begun (charge_point_id, command_id)
         WHERE list.charge_point_id = begun.charge_point_id",
        &differing,
        &commands,
    )
    .execute(connection)
    .await?;
    Ok(commands)
}

async fn look(
    connection: &mut PgConnection,
    charge_points: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Vec<Look>, sqlx::Error> {
    // In one order, so that nobody waits for somebody who waits for them.
    sqlx::query!(
        "SELECT FROM ocpp.desired_local_list WHERE charge_point_id = ANY($1) ORDER BY charge_point_id FOR UPDATE",
        charge_points,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_as!(
        Look,
        r#"SELECT list.charge_point_id, entries > room AS "is_too_long!", next_expiry,
               NOT full_next AND coalesce(entries_version = reported_version AND entries_version > 0, false) AS "is_sure!",
               EXISTS (SELECT FROM ocpp.local_list_difference(list.charge_point_id, $2, $3, $5)) AS "differs!"
           FROM ocpp.desired_local_list AS list
           LEFT JOIN ocpp.local_list ON local_list.charge_point_id = list.charge_point_id
           CROSS JOIN LATERAL (
               SELECT least(coalesce(ocpp.reported_number(list.charge_point_id, 'LocalAuthListMaxLength'), $4), $4) AS room) AS limits
           CROSS JOIN LATERAL (
               SELECT count(*) AS entries, min(expires_at) FILTER (WHERE status = 'Accepted') AS next_expiry
               FROM ocpp.wanted_local_list(list.charge_point_id, $2, $3, '', room + 1)) AS wanted
           WHERE list.charge_point_id = ANY($1) AND command_id IS NULL"#,
        charge_points,
        LONGEST_ID_TAG,
        now,
        MOST_ENTRIES,
        TOO_MANY,
    )
    .fetch_all(connection)
    .await
}

/// When a token expires, the list is another one.
fn next_look(next_expiry: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    let regular = now + LOOK;
    next_expiry.map_or(regular, |expiry| expiry.min(regular))
}

/// Queues a command for each, which is filled when it leaves. Until then it would change nothing.
async fn queue(
    connection: &mut PgConnection,
    charge_points: &[Uuid],
    requested_by: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let empty = r#"{"listVersion":1,"updateType":"Differential"}"#;
    several::alike(connection, charge_points, ACTION, empty, requested_by, now, now + WAITS).await
}

/// A charge point has answered a command. Where it is one that brings a list, the next follows, or it is done; where it
/// is not, the list may be another one now.
pub async fn answered(
    connection: &mut PgConnection,
    charge_point: Uuid,
    command: Uuid,
    update: Update,
    answer: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let run = sqlx::query!(
        "SELECT is_retried, steps FROM ocpp.desired_local_list WHERE command_id = $1 FOR UPDATE",
        command,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(run) = run else {
        return look_again(connection, charge_point, now).await;
    };
    let goes_on = match (answer, update) {
        ("Accepted", _) => !wanted::differences(connection, charge_point, now, 1).await?.is_empty(),
        // The whole list should follow (5.15).
        ("VersionMismatch" | "Failed", Update::Differential) => !run.is_retried,
        _ => false,
    };
    let is_accepted = answer == "Accepted";
    let most_steps = wanted::limits(connection, charge_point).await?.most_steps();
    if goes_on && run.steps < most_steps {
        let next = queue(connection, &[charge_point], AUTOMATIC, now).await?;
        sqlx::query!(
            "UPDATE ocpp.desired_local_list
             SET command_id = $2, steps = steps + 1, full_next = NOT $3, is_retried = is_retried OR NOT $3
             WHERE charge_point_id = $1",
            charge_point,
            next.first().copied(),
            is_accepted,
        )
        .execute(connection)
        .await?;
        return Ok(());
    }
    let (state, problem) = match answer {
        "Accepted" if goes_on => ("failed", Some("unending")),
        "Accepted" => ("synchronized", None),
        "NotSupported" => ("notSupported", Some(answer)),
        _ => ("failed", Some(answer)),
    };
    // When the next token expires, the look at those that are due finds out.
    let due_at = if is_accepted { now } else { now + AGAIN };
    sqlx::query!(
        "UPDATE ocpp.desired_local_list
         SET command_id = NULL, state = $2, problem = $3, full_next = NOT $4,
             synchronized_at = CASE WHEN $2 = 'synchronized' THEN $5 ELSE synchronized_at END, due_at = $6
         WHERE charge_point_id = $1",
        charge_point,
        state,
        problem,
        is_accepted,
        now,
        due_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Commands have their outcomes. What is under way still had no answer that says what the charge point did; where the
/// command was sent, nobody knows what it has.
pub async fn ended(connection: &mut PgConnection, commands: &[Uuid], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    // In one order, so that nobody waits for somebody who waits for them.
    sqlx::query!(
        "SELECT FROM ocpp.desired_local_list
         WHERE charge_point_id IN (SELECT charge_point_id FROM ocpp.command WHERE id = ANY($1))
         ORDER BY charge_point_id FOR UPDATE",
        commands,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE ocpp.desired_local_list AS list
         SET full_next = true, due_at = least(due_at, $2)
         FROM ocpp.command
         WHERE command.id = ANY($1) AND command.status IN ('timeout', 'error')
           AND list.charge_point_id = command.charge_point_id",
        commands,
        now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE ocpp.desired_local_list AS list
         SET command_id = NULL, problem = command.status, due_at = $2,
             state = CASE WHEN error_code IN ('NotImplemented', 'NotSupported') THEN 'notSupported' ELSE 'failed' END
         FROM ocpp.command
         WHERE command.id = ANY($1) AND list.command_id = command.id",
        commands,
        now + AGAIN,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "WITH masked AS (DELETE FROM ocpp.masked_payload WHERE command_id = ANY($1) RETURNING command_id, payload)
         UPDATE ocpp.command SET payload = masked.payload FROM masked WHERE command.id = masked.command_id",
        commands,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What a charge point has is perhaps not what it was thought to have.
pub async fn look_again(
    connection: &mut PgConnection,
    charge_point: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.desired_local_list SET due_at = $2 WHERE charge_point_id = $1 AND automatic AND due_at > $2",
        charge_point,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Nobody could find out what these need.
pub async fn look_later(database: &PgPool, charge_points: &[Uuid], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.desired_local_list SET due_at = $2 WHERE charge_point_id = ANY($1)",
        charge_points,
        now + AGAIN,
    )
    .execute(database)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_looked_at_when_the_next_token_expires_and_every_hour() {
        let now = DateTime::UNIX_EPOCH;
        let soon = now + TimeDelta::minutes(5);
        assert_eq!(next_look(Some(soon), now), soon);
        assert_eq!(next_look(Some(now + TimeDelta::days(1)), now), now + LOOK);
        assert_eq!(next_look(None, now), now + LOOK);
    }
}
