//! What is kept of mail that is out: as much as somebody may still ask for, and for no longer.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// Events deleted by one statement, with their messages.
const AT_ONCE: i64 = 1000;

/// Deletes events that came in before `before` with the messages that they led to, unless one of these is still under way.
pub(crate) async fn older_than(database: &PgPool, before: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let mut deleted = 0;
    loop {
        let done = sqlx::query!(
            r#"
            WITH old AS (
                SELECT event_id FROM email.inbox
                WHERE received_at < $1
                    AND NOT EXISTS (
                        SELECT FROM email.message
                        WHERE message.event_id = inbox.event_id AND status IN ('queued', 'sending')
                    )
                ORDER BY received_at
                LIMIT $2
                FOR UPDATE SKIP LOCKED
            ), messages AS (
                DELETE FROM email.message USING old WHERE message.event_id = old.event_id
            )
            DELETE FROM email.inbox USING old WHERE inbox.event_id = old.event_id
            "#,
            before,
            AT_ONCE,
        )
        .execute(database)
        .await?;
        deleted += done.rows_affected();
        if i64::try_from(done.rows_affected()).is_ok_and(|events| events < AT_ONCE) {
            break;
        }
    }
    loop {
        let done = sqlx::query!(
            "DELETE FROM email.message WHERE id IN (
                 SELECT id FROM email.message
                 WHERE event_id IS NULL AND created_at < $1 AND status NOT IN ('queued', 'sending')
                 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            before,
            AT_ONCE,
        )
        .execute(database)
        .await?;
        if i64::try_from(done.rows_affected()).is_ok_and(|messages| messages < AT_ONCE) {
            break;
        }
    }
    // By now no event about them can come any more.
    sqlx::query!("DELETE FROM email.deleted_account WHERE deleted_at < $1", before)
        .execute(database)
        .await?;
    if deleted > 0 {
        tracing::info!(
            events = deleted,
            "Events older than the retention were deleted with their mail"
        );
    }
    Ok(())
}
