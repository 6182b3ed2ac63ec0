//! Commands that drivers cause: few at a time, and shown without what is between operators and charge points.

use std::time::Duration;

use service_kit::reason::Reason;
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ChargeCommand, Command};

use crate::audit::Author;
use crate::command::status::Status as CommandStatus;

/// A charge point answers one command at a time, and others want to charge there too.
const MOST_WAITING: i64 = 3;

/// By then a command is answered, or has timed out.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug, Error)]
pub(super) enum Waiting {
    #[error("enough commands wait")]
    TooMany,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<Waiting> for Status {
    fn from(error: Waiting) -> Self {
        match error {
            Waiting::TooMany => {
                let message = "The charge point has not answered what you asked before; wait for that";
                Reason::TooManyRequests.retry_after(AGAIN_AFTER, message)
            }
            Waiting::Database(error) => service_kit::database::failed(&error),
        }
    }
}

/// Whether the same key has made a command before.
pub(super) async fn is_known(
    connection: &mut PgConnection,
    author: &Author,
    idempotency_key: Option<&str>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM ocpp.command WHERE requested_by = $1 AND idempotency_key = $2) AS "known!""#,
        author.to_string(),
        idempotency_key,
    )
    .fetch_one(connection)
    .await
}

/// # Errors
/// As many of the driver's commands wait at the charge point as may.
pub(super) async fn check_waiting(
    connection: &mut PgConnection,
    charge_point: Uuid,
    author: &Author,
) -> Result<(), Waiting> {
    let waiting = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM ocpp.command
           WHERE charge_point_id = $1 AND (status = 'queued' OR status = 'sent') AND requested_by = $2"#,
        charge_point,
        author.to_string(),
    )
    .fetch_one(connection)
    .await?;
    if waiting < MOST_WAITING {
        Ok(())
    } else {
        Err(Waiting::TooMany)
    }
}

pub(super) fn seen_by_driver(command: Command) -> ChargeCommand {
    let reason = CommandStatus::parse(&command.status).and_then(reason);
    ChargeCommand {
        id: command.id,
        state: command.status,
        reason: reason.map(str::to_owned),
        created_at: command.created_at,
    }
}

fn reason(status: CommandStatus) -> Option<&'static str> {
    match status {
        CommandStatus::Accepted => None,
        CommandStatus::Queued => Some("The charge point has not been asked yet; it may not be connected"),
        CommandStatus::Sent => Some("The charge point has not answered yet"),
        CommandStatus::Rejected => Some("The charge point refuses"),
        CommandStatus::Error => Some("The charge point cannot do it"),
        CommandStatus::Timeout => Some("The charge point did not answer, and may do it all the same"),
        CommandStatus::Expired => Some("The charge point was not connected in time"),
    }
}
