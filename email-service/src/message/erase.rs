//! Erasing: when an account is deleted, nothing here tells any more who had it and what was written to them.
//!
//! Messages under way go out first. A notice that an address or a password was changed matters all the more to whoever did not
//! delete the account themselves.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{audit, notice, webhook};

/// Notes that an account is deleted, and erases every message about it that has come to its end. The others are erased when they do
/// ([`if_deleted`]). What went to `address`, which was its owner's alone, counts as about this account from now on, whatever it was about:
/// no account, or one that an operator announced by the earlier API.
pub(crate) async fn account(
    transaction: &mut PgConnection,
    id: Uuid,
    address: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO email.deleted_account (id, deleted_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        id,
        now,
    )
    .execute(&mut *transaction)
    .await?;
    // Whoever is just ending a message does so either before this or after the whole transaction, and then knows.
    sqlx::query_scalar!(
        "SELECT id FROM email.message
         WHERE account_id = $1 OR lower(recipient) = lower($2)
         ORDER BY id FOR UPDATE",
        id,
        address,
    )
    .fetch_all(&mut *transaction)
    .await?;
    sqlx::query!(
        "UPDATE email.message SET account_id = $1 WHERE account_id IS DISTINCT FROM $1 AND lower(recipient) = lower($2)",
        id,
        address,
    )
    .execute(&mut *transaction)
    .await?;
    // Also of addresses that were never shown to be theirs. Where one is somebody else's, a mail server says so once more.
    sqlx::query!(
        "DELETE FROM email.suppression
         WHERE address = lower($2) OR reason = 'refused' AND address IN (
             SELECT lower(recipient) FROM email.message WHERE account_id = $1 AND recipient <> '')",
        id,
        address,
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        r#"
        UPDATE email.message SET recipient = '', variables = '{}', last_error = NULL
        WHERE account_id = $1 AND status IN ('sent', 'failed', 'expired', 'suppressed', 'unaddressed')
        "#,
        id,
    )
    .execute(&mut *transaction)
    .await?;
    // What servers said may name the address.
    sqlx::query!(
        "UPDATE email.attempt SET error = NULL
         WHERE error IS NOT NULL AND message_id IN (SELECT id FROM email.message WHERE account_id = $1 AND recipient = '')",
        id,
    )
    .execute(&mut *transaction)
    .await?;
    webhook::erase(transaction, id).await?;
    notice::erase(transaction, id).await?;
    audit::erase(transaction, id, address).await
}

/// Erases those of these messages whose account is deleted, in the transaction that ended them.
pub(super) async fn if_deleted(connection: &mut PgConnection, messages: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        WITH erased AS (
            UPDATE email.attempt SET error = NULL
            FROM email.message
            WHERE message_id = ANY($1) AND error IS NOT NULL AND message.id = message_id
                AND account_id IN (SELECT id FROM email.deleted_account)
        ), suppressed AS (
            DELETE FROM email.suppression
            WHERE message_id = ANY($1)
                AND message_id IN (
                    SELECT id FROM email.message
                    WHERE id = ANY($1) AND account_id IN (SELECT id FROM email.deleted_account)
                )
        )
        UPDATE email.message SET recipient = '', variables = '{}', last_error = NULL
        WHERE id = ANY($1)
            AND status IN ('sent', 'failed', 'expired', 'suppressed', 'unaddressed')
            AND account_id IN (SELECT id FROM email.deleted_account)
        "#,
        messages,
    )
    .execute(connection)
    .await?;
    Ok(())
}
