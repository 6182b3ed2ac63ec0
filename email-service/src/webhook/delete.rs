//! Ends a subscription.

use service_kit::database;
use service_kit::version::IfMatch;

use super::{WebhookError, list};
use crate::State;
use crate::audit::{self, Action, Author, Entry};

/// In the version that the caller has seen. What is on its way goes on.
pub(crate) async fn delete(state: &State, name: &str, if_match: &IfMatch, author: &Author) -> Result<(), WebhookError> {
    let mut transaction = database::begin(&state.database).await?;
    let deleted = sqlx::query_scalar!(
        "DELETE FROM email.webhook WHERE name = $1 AND ($2::bigint[] IS NULL OR revision = ANY($2)) RETURNING id",
        name,
        if_match.revisions(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if deleted.is_none() {
        list::read(&mut transaction, name).await?;
        return Err(WebhookError::Changed);
    }
    let entry = Entry::new(Action::WebhookDeleted, state.clock.now(), author).on(name);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
