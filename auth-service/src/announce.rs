//! Tells the other services what happens to accounts. Every event about an account goes out through here, in the transaction of the
//! change, and says which language the account's owner reads.

use service_kit::event::{self, Event};
use service_kit::outbox::{self, EnqueueError};
use sqlx::PgConnection;
use uuid::Uuid;

/// # Errors
/// As [`outbox::enqueue`].
pub async fn about(connection: &mut PgConnection, account: Uuid, event: Event) -> Result<(), EnqueueError> {
    let language = sqlx::query_scalar!("SELECT language FROM authentication.account WHERE id = $1", account)
        .fetch_optional(&mut *connection)
        .await?
        .flatten();
    outbox::enqueue(connection, &event::in_language(event, language)).await
}
