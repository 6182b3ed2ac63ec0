//! Brings automatic lists up to date: those that tokens have changed on, and each once in a while. Replicas share them.

use service_kit::database;
use sqlx::PgConnection;

use super::synchronize;
use crate::State;
use crate::command::ledger::AUTOMATIC;

/// Changes of tokens that are dealt with at once.
const CHANGES: i64 = 10_000;

/// Lists that are looked at at once.
const LISTS: usize = 10;

/// How often that is done before others have their turn.
const ROUNDS: usize = 100;

/// A token was registered, changed or deleted: part of that transaction.
pub async fn token_changed(connection: &mut PgConnection, values: &[&str]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO ocpp.id_token_change (value)
         SELECT value FROM unnest($1::text[]) AS changed (value)
         WHERE EXISTS (SELECT FROM ocpp.desired_local_list WHERE automatic)",
        values as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn keep(state: &State) -> Result<(), sqlx::Error> {
    note(state).await?;
    for _ in 0..ROUNDS {
        if look(state).await? < LISTS {
            break;
        }
    }
    Ok(())
}

/// The lists that a changed token is on, or may be on, are due. One that is being looked at at the moment is so again.
async fn note(state: &State) -> Result<(), sqlx::Error> {
    let mut transaction = database::begin(&state.database).await?;
    let changed = sqlx::query_scalar!(
        "DELETE FROM ocpp.id_token_change
         WHERE id IN (SELECT id FROM ocpp.id_token_change ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING value",
        CHANGES,
    )
    .fetch_all(&mut *transaction)
    .await?;
    if changed.is_empty() {
        return Ok(());
    }
    // In one order, so that nobody waits for somebody who waits for them.
    sqlx::query!(
        r#"WITH concerned AS (
             SELECT charge_point_id FROM ocpp.desired_local_list
             WHERE automatic AND charge_point_id IN (
                 SELECT charge_point_id FROM ocpp.desired_local_list WHERE automatic AND all_tokens
                 UNION
                 SELECT charge_point_id FROM ocpp.desired_local_list_token
                 WHERE lower(id_token) IN (SELECT lower(value COLLATE "C") FROM unnest($2::text[]) AS changed (value)))
             ORDER BY charge_point_id FOR UPDATE)
         UPDATE ocpp.desired_local_list AS list SET due_at = $1 FROM concerned
         WHERE list.charge_point_id = concerned.charge_point_id"#,
        state.clock.now(),
        &changed,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Looks at some that are due and that no other replica looks at. Returns how many. Where that fails, they wait, so that they
/// keep nobody else waiting.
async fn look(state: &State) -> Result<usize, sqlx::Error> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    // Nobody waits for this look, so it does not wait for long: the next turn will do.
    sqlx::raw_sql("SET LOCAL lock_timeout = '300ms'")
        .execute(&mut *transaction)
        .await?;
    let due = sqlx::query_scalar!(
        "SELECT charge_point_id FROM ocpp.desired_local_list AS list
         WHERE automatic AND command_id IS NULL AND due_at <= $1 AND state <> 'notSupported'
           AND EXISTS (SELECT FROM ocpp.charge_point WHERE id = list.charge_point_id AND retired_at IS NULL)
         ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        i64::try_from(LISTS).unwrap_or(i64::MAX),
    )
    .fetch_all(&mut *transaction)
    .await?;
    if due.is_empty() {
        return Ok(0);
    }
    match synchronize::begin(&mut transaction, &due, AUTOMATIC, now).await {
        Ok(_) => transaction.commit().await?,
        Err(error) => {
            transaction.rollback().await?;
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                lists = due.len(),
                "Local lists could not be looked at"
            );
            synchronize::look_later(&state.database, &due, now).await?;
        }
    }
    Ok(due.len())
}
