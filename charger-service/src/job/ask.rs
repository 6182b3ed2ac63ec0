//! What the verbs that begin a job have in common: a command with a URL of ours in it, and the leave that goes with that.

use std::ops::RangeInclusive;

use chrono::{DateTime, SecondsFormat, Utc};
use ocpp::v1_6::Action;
use serde_json::{Map, Value};
use service_kit::reason::{self, FieldViolation, Reason};
use tonic::Status;
use voltgate_proto::ocpp::v1::Command;

use crate::State;
use crate::command::asking::Asking;
use crate::command::send::{SendCommand, send};
use crate::transfer::NewTransfer;
use crate::transfer::url::PublicUrl;

/// The command that begins a job, and what goes with it.
#[derive(Debug)]
pub struct NewJob {
    pub identity: String,
    pub action: Action,
    pub payload: Map<String, Value>,
    pub transfer: NewTransfer,
}

/// Where charge points can be told to go.
///
/// # Errors
/// Nobody has said so.
pub fn public_url(state: &State) -> Result<&PublicUrl, Status> {
    state.transfers.public_url.as_ref().ok_or_else(no_public_url)
}

/// How callers are told that nobody has.
pub fn no_public_url() -> Status {
    Reason::NoPublicUrl.status("CHARGER_PUBLIC_URL has to say where charge points reach the gateway")
}

/// How often a charge point is to try, and the seconds between that.
pub fn put_retries(
    payload: &mut Map<String, Value>,
    retries: Option<i32>,
    interval: Option<i32>,
    violations: &mut Vec<FieldViolation>,
) {
    let mut put = |field: &str, name: &str, value: Option<i32>, range: RangeInclusive<i32>| {
        let Some(value) = value else { return };
        if range.contains(&value) {
            payload.insert(name.to_owned(), value.into());
        } else {
            let problem = format!("must be between {} and {}", range.start(), range.end());
            violations.push(FieldViolation::new(field, problem));
        }
    };
    put("retries", "retries", retries, 0..=100);
    put("retryIntervalSeconds", "retryInterval", interval, 0..=86_400);
}

/// Sends the command, with all that is wrong told at once. `violations`: what was found so far.
pub async fn ask(
    state: &State,
    asking: Asking,
    job: NewJob,
    mut violations: Vec<FieldViolation>,
) -> Result<Command, Status> {
    let call = (job.action, Value::Object(job.payload).to_string());
    match SendCommand::worded(job.identity, call, asking) {
        Ok(command) if violations.is_empty() => Ok(send(state, command.with_transfer(job.transfer)).await?),
        Ok(_) => Err(reason::invalid(violations)),
        Err(others) => {
            // What is missing in the payload has been told by the name that it has here.
            let told = !violations.is_empty();
            violations.extend(
                others
                    .into_iter()
                    .filter(|other| !(told && other.field.starts_with('$'))),
            );
            Err(reason::invalid(violations))
        }
    }
}

/// A point in time as OCPP writes it.
pub fn written(moment: DateTime<Utc>) -> Value {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true).into()
}
