//! Ends a subscription.

use service_kit::database;
use service_kit::version::IfMatch;
use sqlx::PgPool;

use super::{WebhookError, list};
use crate::State;
use crate::audit::{self, Action, Author, Entry};

/// Rows deleted by one statement.
const AT_ONCE: i64 = 1000;

/// In the version that the caller has seen. What is on its way goes on. What it was told goes little by little ([`clear`]).
pub(crate) async fn delete(state: &State, name: &str, if_match: &IfMatch, author: &Author) -> Result<(), WebhookError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let deleted = sqlx::query_scalar!(
        "UPDATE email.webhook SET deleted_at = $3, signing_secret = ''
         WHERE name = $1 AND deleted_at IS NULL AND ($2::bigint[] IS NULL OR revision = ANY($2)) RETURNING id",
        name,
        if_match.revisions(),
        now,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if deleted.is_none() {
        list::read(&mut transaction, name).await?;
        return Err(WebhookError::Changed);
    }
    let entry = Entry::new(Action::WebhookDeleted, now, author).on(name);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}

/// Deletes what the deleted ones were told, and then them.
pub(crate) async fn clear(database: &PgPool) -> Result<(), sqlx::Error> {
    loop {
        let done = sqlx::query!(
            "DELETE FROM email.webhook_delivery WHERE id IN (
                 SELECT id FROM email.webhook_delivery
                 WHERE webhook_id IN (SELECT id FROM email.webhook WHERE deleted_at IS NOT NULL) LIMIT $1)",
            AT_ONCE,
        )
        .execute(database)
        .await?;
        if i64::try_from(done.rows_affected()).is_ok_and(|deliveries| deliveries < AT_ONCE) {
            break;
        }
    }
    sqlx::query!(
        "DELETE FROM email.webhook WHERE deleted_at IS NOT NULL
             AND NOT EXISTS (SELECT FROM email.webhook_delivery WHERE webhook_id = webhook.id)"
    )
    .execute(database)
    .await?;
    Ok(())
}
