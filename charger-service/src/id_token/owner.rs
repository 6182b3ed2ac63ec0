//! Whose a token is, and was: a charge that began while its charge point was offline is told of later, and is whose the token was
//! then.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use thiserror::Error;
use uuid::Uuid;

#[derive(Debug, Error)]
pub enum OwnerError {
    #[error("the account was deleted")]
    Deleted,
    #[error("the owner could not be kept")]
    Database(#[from] sqlx::Error),
}

/// For `accountId`.
pub const DELETED: &str = "is of an account that was deleted";

/// From now on it is this account's, or nobody's.
///
/// # Errors
/// The account was deleted.
pub async fn hand_over(
    connection: &mut PgConnection,
    value: &str,
    account: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), OwnerError> {
    if let Some(account) = account {
        check_exists(&mut *connection, account).await?;
    }
    sqlx::query!(
        r#"WITH handed_over AS (
             UPDATE ocpp.id_token_owner SET until = $3
             WHERE value = lower($1 COLLATE "C") AND until IS NULL AND account_id IS DISTINCT FROM $2)
           INSERT INTO ocpp.id_token_owner (value, account_id, since)
           SELECT lower($1 COLLATE "C"), $2, $3
           WHERE $2::uuid IS NOT NULL AND NOT EXISTS (
               SELECT FROM ocpp.id_token_owner
               WHERE value = lower($1 COLLATE "C") AND until IS NULL AND account_id = $2)"#,
        value,
        account,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Of tokens that are new.
pub async fn begin(
    connection: &mut PgConnection,
    values: &[&str],
    accounts: &[Option<Uuid>],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"INSERT INTO ocpp.id_token_owner (value, account_id, since)
           SELECT lower(value COLLATE "C"), account_id, $3
           FROM unnest($1::text[], $2::uuid[]) AS new (value, account_id) WHERE account_id IS NOT NULL"#,
        values as &[&str],
        accounts as &[Option<Uuid>],
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Which of these accounts were deleted. Whoever deletes one of the others waits until this transaction is over, and finds the
/// tokens.
pub async fn deleted(connection: &mut PgConnection, accounts: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    // In one order, so that nobody waits for each other.
    sqlx::query!(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended(account::text, 1))
         FROM (SELECT DISTINCT account FROM unnest($1::uuid[]) AS account ORDER BY account) AS ordered",
        accounts,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_scalar!("SELECT id FROM ocpp.deleted_account WHERE id = ANY ($1)", accounts)
        .fetch_all(connection)
        .await
}

/// Whoever deletes the account waits until this transaction is over, and finds the token.
///
/// # Errors
/// The account was deleted.
pub async fn check_exists(connection: &mut PgConnection, account: Uuid) -> Result<(), OwnerError> {
    match deleted(connection, &[account]).await?.as_slice() {
        [] => Ok(()),
        [_, ..] => Err(OwnerError::Deleted),
    }
}

/// Waits for whoever gives the account a token just now. Nobody can do so before this transaction is over.
pub async fn keep_out(connection: &mut PgConnection, account: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))",
        account.to_string()
    )
    .execute(connection)
    .await?;
    Ok(())
}
