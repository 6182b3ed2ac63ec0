//! An operator states no longer what a configuration key should be. Nothing is sent: the charge point keeps the value
//! that it has.

use service_kit::database;
use service_kit::reason::Reason;
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
    #[error("nobody has stated what the key should be")]
    NotDesired,
    #[error("the wish could not be withdrawn")]
    Database(#[from] sqlx::Error),
}

impl From<WithdrawError> for Status {
    fn from(error: WithdrawError) -> Self {
        match error {
            WithdrawError::ChargePoint(error) => error.into(),
            WithdrawError::NotDesired => {
                Reason::NotFound.status("Nobody has set this configuration key of the charge point")
            }
            WithdrawError::Database(error) => database::failed(&error),
        }
    }
}

/// A key that is known by the wish only is gone with it.
pub async fn withdraw(state: &State, identity: &str, key: &str, author: &Author) -> Result<(), WithdrawError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let charge_point = hold(&mut transaction, identity).await?;
    let withdrawn = sqlx::query!(
        r#"WITH before AS (
             SELECT desired_command_id FROM ocpp.configuration_key
             WHERE charge_point_id = $1 AND lower(key) = lower($2 COLLATE "C") AND desired_at IS NOT NULL FOR UPDATE)
           UPDATE ocpp.configuration_key
           SET desired_value = NULL, desired_status = NULL, desired_at = NULL, desired_state = NULL, desired_command_id = NULL
           FROM before
           WHERE charge_point_id = $1 AND lower(key) = lower($2 COLLATE "C")
           RETURNING before.desired_command_id AS command"#,
        charge_point,
        key,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(withdrawn) = withdrawn else {
        return Err(WithdrawError::NotDesired);
    };
    sqlx::query!(
        r#"DELETE FROM ocpp.configuration_key
           WHERE charge_point_id = $1 AND lower(key) = lower($2 COLLATE "C") AND reported_at IS NULL"#,
        charge_point,
        key,
    )
    .execute(&mut *transaction)
    .await?;
    let queued: Vec<_> = withdrawn.command.into_iter().collect();
    ending::withdraw(&mut transaction, &queued, now).await?;
    let entry = Entry::new(Action::ConfigurationWithdrawn, now, author)
        .on_charge_point(identity)
        .with("key", Some(key));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
