//! Commands that drivers cause: few at a time, and shown without what is between operators and charge points.

use chrono::TimeDelta;
use voltgate_proto::ocpp::v1::{ChargeCommand, Command};

use crate::audit::Author;
use crate::command::asking::Asking;
use crate::command::ledger::Room;
use crate::command::send::Patience;
use crate::command::status::Status as CommandStatus;

/// A charge point answers one command at a time, and others want to charge, too. A connector that was asked to start waits for a
/// cable for a minute or two.
const ROOM: Room = Room {
    most: 3,
    held: TimeDelta::minutes(2),
};

/// In seconds. Who stands at the charge point does not wait longer for it to connect.
const WHILE_SOMEBODY_WAITS: i32 = 60;

/// What a driver asks for. `said`: tells a repetition from another request under the same key.
pub(super) fn asking(
    author: Author,
    idempotency_key: Option<String>,
    wait_seconds: Option<i32>,
    said: Vec<u8>,
) -> Asking {
    Asking {
        author,
        idempotency_key,
        patience: Patience {
            wait_seconds,
            expires_in_seconds: Some(WHILE_SOMEBODY_WAITS),
        },
        said,
        room: Some(ROOM),
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
