//! Dead letters need not stay for ever: they may tell of somebody. Who prunes them is each service's own matter: where something that
//! has to follow waits for a decision, they stay until it is made.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// Rows deleted by one statement.
const AT_ONCE: i64 = 1000;

/// Deletes what nobody has decided about for as long as the service keeps it.
///
/// # Errors
/// The database does not answer.
pub async fn prune(database: &PgPool, before: DateTime<Utc>) -> Result<(), sqlx::Error> {
    loop {
        let done = sqlx::query!(
            "DELETE FROM dead_letter WHERE id IN (
                 SELECT id FROM dead_letter WHERE died_at < $1 ORDER BY died_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            before,
            AT_ONCE,
        )
        .execute(database)
        .await?;
        if i64::try_from(done.rows_affected()).is_ok_and(|letters| letters < AT_ONCE) {
            return Ok(());
        }
    }
}
