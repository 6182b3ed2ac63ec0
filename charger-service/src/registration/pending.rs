//! What is asked of a charge point that is kept waiting.

use chrono::{DateTime, TimeDelta, Utc};
use ocpp::v1_6::Action;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service_kit::reason::FieldViolation;
use sqlx::PgConnection;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::PendingCommand;

use crate::command::call::Call;
use crate::command::ledger;

/// As many commands there may be.
const MOST: usize = 50;

/// Those of a charge point that never boots again go on waiting no longer.
const EXPIRY: TimeDelta = TimeDelta::days(1);

/// One command. `Payload` is raw JSON, to the letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step<Payload> {
    pub action: String,
    pub payload: Payload,
}

/// Commands that a charge point may be sent while it waits.
#[derive(Debug)]
pub(super) struct Steps(pub(super) Vec<Step<Box<RawValue>>>);

impl Steps {
    /// Collects what is wrong with every command before it refuses.
    pub(super) fn parse(commands: Vec<PendingCommand>) -> Result<Self, Vec<FieldViolation>> {
        if commands.len() > MOST {
            let problem = format!("must have at most {MOST} commands");
            return Err(vec![FieldViolation::new("pendingCommands", problem)]);
        }
        let mut violations = Vec::new();
        let mut steps = Vec::new();
        for (index, command) in commands.into_iter().enumerate() {
            match step(command) {
                Ok(step) => steps.push(step),
                Err(problems) => violations.extend(problems.into_iter().map(|problem| {
                    FieldViolation::new(format!("pendingCommands[{index}].{}", problem.field), problem.message)
                })),
            }
        }
        if violations.is_empty() {
            Ok(Self(steps))
        } else {
            Err(violations)
        }
    }
}

impl Steps {
    /// To the letter, so that each payload stays as it was written.
    pub(super) fn to_json(&self) -> String {
        // Strings and JSON documents always serialise.
        serde_json::to_string(&self.0).unwrap_or_else(|_| "[]".to_owned())
    }
}

fn step(command: PendingCommand) -> Result<Step<Box<RawValue>>, Vec<FieldViolation>> {
    let refused = |field: &str, problem: &str| Err(vec![FieldViolation::new(field, problem)]);
    let call = Call::parse(&command.action, command.payload.as_bytes(), "payload")?;
    if matches!(
        call.action,
        Action::RemoteStartTransaction | Action::RemoteStopTransaction
    ) {
        return refused("action", "is not sent to a charge point that is pending");
    }
    if call.holds_a_secret() {
        return refused("payload", "holds a secret, which is sent with a single command only");
    }
    Ok(Step {
        action: command.action,
        payload: call.payload,
    })
}

impl From<Step<Box<RawValue>>> for PendingCommand {
    fn from(step: Step<Box<RawValue>>) -> Self {
        Self {
            action: step.action,
            payload: step.payload.get().to_owned(),
        }
    }
}

/// After an answer to a BootNotification: what an earlier one had queued and was not sent is gone, and these come next, in
/// their order. `asked_by`: who has set them, where that is known.
pub async fn queue(
    connection: &mut PgConnection,
    charge_point: Uuid,
    steps: &[Step<Box<RawValue>>],
    asked_by: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    ledger::drop_pending(&mut *connection, charge_point).await?;
    if !steps.is_empty() {
        ledger::enqueue_pending(connection, charge_point, steps, asked_by, now, now + EXPIRY).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(commands: &[(&str, &str)]) -> Vec<String> {
        let commands = commands.iter().map(|(action, payload)| PendingCommand {
            action: (*action).to_owned(),
            payload: (*payload).to_owned(),
        });
        match Steps::parse(commands.collect()) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn every_command_that_is_wrong_is_named_at_once() {
        let commands = [
            ("GetConfiguration", ""),
            ("BootNotification", "{}"),
            ("RemoteStopTransaction", r#"{"transactionId":1}"#),
            ("ChangeConfiguration", r#"{"key":"a"}"#),
            (
                "ChangeConfiguration",
                r#"{"key":"AuthorizationKey","value":"0123456789abcdef"}"#,
            ),
            ("Reset", "{"),
        ];
        assert_eq!(
            fields(&commands),
            [
                "pendingCommands[1].action",
                "pendingCommands[2].action",
                "pendingCommands[3].payload.value",
                "pendingCommands[4].payload",
                "pendingCommands[5].payload",
            ]
        );
    }

    #[test]
    fn there_may_be_fifty() {
        assert_eq!(fields(&[("ClearCache", "{}"); 50]), [""; 0]);
        assert_eq!(fields(&[("ClearCache", "{}"); 51]), ["pendingCommands"]);
    }
}
