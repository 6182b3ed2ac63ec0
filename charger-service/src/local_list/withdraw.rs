//! An operator states no longer what the list of a charge point should hold. Nothing is sent: the charge point keeps
//! what it has.

use service_kit::database;
use service_kit::reason::Reason;
use service_kit::version::{self, IfMatch};
use thiserror::Error;
use tonic::Status;

use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::charge_point::find::{FindError, hold};
use crate::command::ledger::ending;

#[derive(Debug, Error)]
pub enum WithdrawError {
    #[error(transparent)]
    ChargePoint(#[from] FindError),
    #[error("what the list should hold has been changed meanwhile")]
    Changed,
    #[error("command after command was queued meanwhile")]
    Busy,
    #[error("the wish could not be withdrawn")]
    Database(#[from] sqlx::Error),
}

impl From<WithdrawError> for Status {
    fn from(error: WithdrawError) -> Self {
        match error {
            WithdrawError::ChargePoint(error) => error.into(),
            WithdrawError::Changed => version::changed(),
            WithdrawError::Busy => Reason::Overloaded.status("The list is being sent; withdraw it once more"),
            WithdrawError::Database(error) => database::failed(&error),
        }
    }
}

/// Each answer of a charge point queues another command, so the one that was seen is looked for so often.
const TRIES: usize = 5;

/// Withdraws it in the version that the caller has seen. What has been sent already is out.
pub async fn withdraw(state: &State, identity: &str, if_match: &IfMatch, author: &Author) -> Result<(), WithdrawError> {
    for _ in 0..TRIES {
        if attempt(state, identity, if_match, author).await? {
            return Ok(());
        }
    }
    Err(WithdrawError::Busy)
}

/// False, and nothing is done, where the next command was queued meanwhile. A command without a wish would be sent empty.
async fn attempt(state: &State, identity: &str, if_match: &IfMatch, author: &Author) -> Result<bool, WithdrawError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let charge_point = hold(&mut transaction, identity).await?;
    // The command before the wish, as everybody else locks them.
    let command = sqlx::query_scalar!(
        "SELECT command_id FROM ocpp.desired_local_list WHERE charge_point_id = $1",
        charge_point,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .flatten();
    let queued: Vec<_> = command.into_iter().collect();
    ending::withdraw(&mut transaction, &queued, now).await?;
    let withdrawn = sqlx::query_scalar!(
        "DELETE FROM ocpp.desired_local_list
         WHERE charge_point_id = $1 AND ($2::bigint[] IS NULL OR revision = ANY($2))
         RETURNING command_id",
        charge_point,
        if_match.revisions(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(under_way) = withdrawn else {
        unchanged(&mut transaction, charge_point, if_match).await?;
        return Ok(true);
    };
    if under_way.is_some_and(|under_way| Some(under_way) != command) {
        return Ok(false);
    }
    let entry = Entry::new(Action::LocalListWithdrawn, now, author).on_charge_point(identity);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Where there is no wish, there is nothing to withdraw, unless the caller has seen one.
async fn unchanged(
    connection: &mut sqlx::PgConnection,
    charge_point: uuid::Uuid,
    if_match: &IfMatch,
) -> Result<(), WithdrawError> {
    let is_there = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ocpp.desired_local_list WHERE charge_point_id = $1) AS "there!""#,
        charge_point,
    )
    .fetch_one(connection)
    .await?;
    let has_seen_none = if_match.revisions().is_none_or(|revisions| revisions.contains(&0));
    if has_seen_none && !is_there {
        Ok(())
    } else {
        Err(WithdrawError::Changed)
    }
}
