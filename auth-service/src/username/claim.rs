//! Names in use: a new one must not look like another account's.

use sqlx::{Acquire as _, PgConnection, PgPool};
use uuid::Uuid;

use super::Username;

/// Accounts from before that are looked at by one transaction.
const BATCH: i64 = 500;

/// Whether nobody but `own` has a name that looks like this one. Until the transaction is over nobody else gets such a name
/// either, so whoever asks may take it. That the very name is free is for the constraint of the table to say.
///
/// Of two names in plain ASCII neither is refused for the other's sake: `user1` and `userl` are two names.
pub async fn is_free(
    connection: &mut PgConnection,
    username: &Username,
    own: Option<Uuid>,
) -> Result<bool, sqlx::Error> {
    let skeletons = username.skeletons();
    for skeleton in &skeletons {
        sqlx::query!(
            "SELECT pg_advisory_xact_lock(hashtextextended('authentication.username ' || $1, 0))",
            skeleton
        )
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (
               SELECT FROM authentication.account
               WHERE skeletons && $1
                 AND username_key <> $2
                 AND id IS DISTINCT FROM $3
                 AND NOT ($4 AND octet_length(username) = char_length(username))
           ) AS "free!""#,
        &skeletons,
        username.key(),
        own,
        username.as_str().is_ascii()
    )
    .fetch_one(connection)
    .await
}

/// Gives accounts from before their skeletons, and the key by today's rules. Replicas take turns. Two accounts whose names
/// are alike stay two; no third one joins them.
pub async fn complete(database: &PgPool) -> Result<(), sqlx::Error> {
    loop {
        let mut transaction = database.begin().await?;
        let rows = sqlx::query!(
            "SELECT id, username, username_key
             FROM authentication.account
             WHERE skeletons IS NULL
             ORDER BY id
             LIMIT $1
             FOR UPDATE",
            BATCH
        )
        .fetch_all(&mut *transaction)
        .await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            let username = Username(row.username);
            if row.username_key != username.key() && !set_key(&mut transaction, row.id, &username.key()).await? {
                tracing::warn!(
                    account = %row.id,
                    "Another account has the same name in another form; this one needs a new name to log in"
                );
            }
            sqlx::query!(
                "UPDATE authentication.account SET skeletons = $2 WHERE id = $1",
                row.id,
                &username.skeletons()
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
    }
}

/// Whether nobody else has the key.
async fn set_key(connection: &mut PgConnection, id: Uuid, key: &str) -> Result<bool, sqlx::Error> {
    let mut savepoint = connection.begin().await?;
    let set = sqlx::query!(
        "UPDATE authentication.account SET username_key = $2 WHERE id = $1",
        id,
        key
    )
    .execute(&mut *savepoint)
    .await;
    match set {
        Ok(_) => {
            savepoint.commit().await?;
            Ok(true)
        }
        Err(error)
            if error
                .as_database_error()
                .is_some_and(|error| error.is_unique_violation()) =>
        {
            savepoint.rollback().await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
