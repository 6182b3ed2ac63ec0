//! What webhooks would be told of an account that is deleted goes, unless it is under way: then it goes when it has come to its end.

use sqlx::PgConnection;
use uuid::Uuid;

/// In the transaction that notes that the account is deleted.
pub(crate) async fn erase(connection: &mut PgConnection, account: Uuid) -> Result<(), sqlx::Error> {
    // Whoever is just disabling a webhook, or ending a delivery, does so either before this or after the whole transaction, and then knows.
    sqlx::query!("SELECT id FROM email.webhook ORDER BY id FOR SHARE")
        .fetch_all(&mut *connection)
        .await?;
    sqlx::query!(
        "SELECT id FROM email.webhook_delivery WHERE account_id = $1 AND body IS NOT NULL ORDER BY id FOR UPDATE",
        account,
    )
    .fetch_all(&mut *connection)
    .await?;
    // What waits for a webhook that is called no more is under way to nobody.
    sqlx::query!(
        "UPDATE email.webhook_delivery SET status = 'failed', body = NULL
         WHERE account_id = $1 AND body IS NOT NULL
             AND (status = 'failed' OR status = 'queued' AND webhook_id IN (
                 SELECT id FROM email.webhook WHERE disabled IS NOT NULL OR deleted_at IS NOT NULL))",
        account,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Those of these that were given up, in the transaction that did so.
pub(super) async fn if_deleted(connection: &mut PgConnection, deliveries: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE email.webhook_delivery SET body = NULL
         WHERE id = ANY($1) AND status = 'failed' AND account_id IN (SELECT id FROM email.deleted_account)",
        deliveries,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What waits for a webhook that is called no more.
pub(super) async fn waiting_of(connection: &mut PgConnection, webhook: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE email.webhook_delivery SET status = 'failed', body = NULL
         WHERE webhook_id = $1 AND status = 'queued' AND account_id IN (SELECT id FROM email.deleted_account)",
        webhook,
    )
    .execute(connection)
    .await?;
    Ok(())
}
