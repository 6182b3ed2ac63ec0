//! Brings automatic lists up to date: those that tokens have changed on, and each once in a while.

use chrono::{DateTime, Utc};
use service_kit::database;
use sqlx::PgConnection;

use super::synchronize;
use crate::State;
use crate::command::ledger::AUTOMATIC;

/// Changes of tokens that are dealt with at once.
const CHANGES: i64 = 10_000;

/// Lists that are looked at at once.
const LISTS: i64 = 50;

/// A token was registered, changed or deleted: part of that transaction.
pub async fn token_changed(connection: &mut PgConnection, values: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO ocpp.id_token_change (value)
         SELECT value FROM unnest($1::text[]) AS changed (value)
         WHERE EXISTS (SELECT FROM ocpp.desired_local_list WHERE automatic)",
        values,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One replica does it at a time, so that a change which is noted while a list is looked at is not taken for one that
/// was seen.
pub async fn keep(state: &State) -> Result<(), sqlx::Error> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let is_alone =
        sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtext('voltgate local lists')) AS "alone!""#)
            .fetch_one(&mut *transaction)
            .await?;
    if !is_alone {
        return Ok(());
    }
    note(&mut transaction, now).await?;
    let due = sqlx::query_scalar!(
        "SELECT charge_point_id FROM ocpp.desired_local_list AS list
         WHERE automatic AND command_id IS NULL AND due_at <= $1 AND state <> 'notSupported'
           AND EXISTS (SELECT FROM ocpp.charge_point WHERE id = list.charge_point_id AND retired_at IS NULL)
         ORDER BY due_at LIMIT $2",
        now,
        LISTS,
    )
    .fetch_all(&mut *transaction)
    .await?;
    if !due.is_empty() {
        synchronize::begin(&mut transaction, &due, AUTOMATIC, now).await?;
    }
    transaction.commit().await
}

/// The lists that a changed token is on, or may be on, are due.
async fn note(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let changed = sqlx::query_scalar!(
        "DELETE FROM ocpp.id_token_change
         WHERE id IN (SELECT id FROM ocpp.id_token_change ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING value",
        CHANGES,
    )
    .fetch_all(&mut *connection)
    .await?;
    if changed.is_empty() {
        return Ok(());
    }
    // In one order, so that nobody waits for somebody who waits for them.
    sqlx::query!(
        r#"WITH concerned AS (
             SELECT charge_point_id FROM ocpp.desired_local_list
             WHERE automatic AND due_at > $1 AND (all_tokens OR charge_point_id IN (
                 SELECT charge_point_id FROM ocpp.desired_local_list_token
                 WHERE lower(id_token) IN (SELECT lower(value COLLATE "C") FROM unnest($2::text[]) AS changed (value))))
             ORDER BY charge_point_id FOR UPDATE)
         UPDATE ocpp.desired_local_list AS list SET due_at = $1 FROM concerned
         WHERE list.charge_point_id = concerned.charge_point_id"#,
        now,
        &changed,
    )
    .execute(connection)
    .await?;
    Ok(())
}
