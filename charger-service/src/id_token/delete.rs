//! Takes an id token off the register.

use service_kit::database;
use sqlx::PgPool;

use super::list;
use super::update::UpdateError;
use service_kit::version::IfMatch;

/// Deletes it in the version that the caller has seen. Transactions keep the token as the station presented it.
pub async fn delete(database: &PgPool, value: &str, if_match: &IfMatch) -> Result<(), UpdateError> {
    let mut transaction = database::begin(database).await?;
    let deleted = sqlx::query!(
        r#"DELETE FROM ocpp.id_token
           WHERE lower(value) = lower($1 COLLATE "C") AND ($2::bigint[] IS NULL OR revision = ANY($2))"#,
        value,
        if_match.revisions(),
    )
    .execute(&mut *transaction)
    .await?;
    if deleted.rows_affected() == 0 {
        list::read(&mut transaction, value).await?;
        return Err(UpdateError::Changed);
    }
    transaction.commit().await?;
    Ok(())
}
