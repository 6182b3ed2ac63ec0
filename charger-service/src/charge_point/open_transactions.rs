//! What charges still while its charge point goes. A charge whose stop nobody will send is never billed, so an operator is told of
//! each, or has them closed by what is known of them.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::reason::Reason;
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use crate::audit::Author;
use crate::transaction::close;

/// As many are closed at once. A charge point has no more connectors; what is beyond them is to be looked at.
const MOST: usize = 100;

/// As many are named.
const MOST_NAMED: usize = 20;

#[derive(Debug, Error)]
pub(super) enum StillOpen {
    #[error("transactions are open")]
    Open(Vec<i32>),
    #[error("the transactions could not be closed")]
    Database(#[from] sqlx::Error),
}

impl From<StillOpen> for Status {
    fn from(error: StillOpen) -> Self {
        match error {
            StillOpen::Open(ids) => Reason::TransactionsOpen.status(in_the_way(&ids)),
            StillOpen::Database(error) => database::failed(&error),
        }
    }
}

/// What callers are told of transactions that are in the way.
fn in_the_way(ids: &[i32]) -> String {
    let named: Vec<String> = ids.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    let more = match ids.len() > MOST_NAMED {
        true => " and more",
        false => "",
    };
    let named = named.join(", ");
    format!("Transactions are open: {named}{more}; wait for their stops, close them, or ask for closeTransactions")
}

/// Sees to it that none is open. Returns those that were closed, with this reason.
pub(super) async fn settle(
    connection: &mut PgConnection,
    charge_point: Uuid,
    close_them: bool,
    reason: &str,
    now: DateTime<Utc>,
    author: &Author,
) -> Result<Vec<i32>, StillOpen> {
    let open = sqlx::query_scalar!(
        "SELECT id FROM ocpp.transaction WHERE charge_point_id = $1 AND status = 'active' ORDER BY start_received_at, id
         LIMIT $2",
        charge_point,
        i64::try_from(MOST + 1).unwrap_or(i64::MAX),
    )
    .fetch_all(&mut *connection)
    .await?;
    if !open.is_empty() && (!close_them || open.len() > MOST) {
        return Err(StillOpen::Open(open));
    }
    close::close_open(connection, &open, reason, now, author).await?;
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_in_the_way_are_named_as_long_as_there_are_few() {
        assert!(in_the_way(&[12, 17]).starts_with("Transactions are open: 12, 17; wait"));
        let many: Vec<i32> = (1..=21).collect();
        assert!(in_the_way(&many).contains("19, 20 and more;"));
    }
}
