//! What the verbs that begin a job have in common: a command with a URL of ours in it, and the leave that goes with that.

use std::ops::RangeInclusive;

use chrono::{DateTime, SecondsFormat, Utc};
use prost_types::Timestamp;
use serde_json::{Map, Value};
use service_kit::reason::{self, FieldViolation, Reason};
use tonic::Status;
use voltgate_proto::google::api::HttpBody;
use voltgate_proto::ocpp::v1::{Command, SendCommandRequest};

use crate::State;
use crate::audit::Author;
use crate::command::send::{SendCommand, send};
use crate::transfer::NewTransfer;
use crate::transfer::url::PublicUrl;

/// What every such verb can be told.
#[derive(Debug)]
pub struct Asked {
    pub identity: String,
    pub retries: Option<i32>,
    pub retry_interval_seconds: Option<i32>,
    pub wait_seconds: Option<i32>,
    pub expires_in_seconds: Option<i32>,
}

/// Where charge points can be told to go.
///
/// # Errors
/// Nobody has said so.
pub fn public_url(state: &State) -> Result<&PublicUrl, Status> {
    state.transfers.public_url.as_ref().ok_or_else(|| {
        Reason::NoPublicUrl.status("CHARGER_PUBLIC_URL has to say where charge points reach the gateway")
    })
}

/// Sends the command, with all that is wrong told at once. `violations`: what was found so far.
pub async fn ask(
    state: &State,
    asked: Asked,
    (action, mut payload): (&str, Map<String, Value>),
    transfer: NewTransfer,
    author: Author,
    mut violations: Vec<FieldViolation>,
) -> Result<Command, Status> {
    let mut put = |field: &str, name: &str, value: Option<i32>, range: RangeInclusive<i32>| {
        let Some(value) = value else { return };
        if range.contains(&value) {
            payload.insert(name.to_owned(), value.into());
        } else {
            let problem = format!("must be between {} and {}", range.start(), range.end());
            violations.push(FieldViolation::new(field, problem));
        }
    };
    put("retries", "retries", asked.retries, 0..=100);
    put(
        "retryIntervalSeconds",
        "retryInterval",
        asked.retry_interval_seconds,
        0..=86_400,
    );
    let command = SendCommandRequest {
        identity: asked.identity,
        action: action.to_owned(),
        payload: Some(HttpBody {
            data: Value::Object(payload).to_string().into(),
            ..HttpBody::default()
        }),
        wait_seconds: asked.wait_seconds,
        expires_in_seconds: asked.expires_in_seconds,
    };
    match SendCommand::parse(command, author, None) {
        Ok(command) if violations.is_empty() => Ok(send(state, command.with_transfer(transfer)).await?),
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

pub fn moment(field: &str, told: Option<Timestamp>, violations: &mut Vec<FieldViolation>) -> Option<DateTime<Utc>> {
    let told = told?;
    let moment = u32::try_from(told.nanos)
        .ok()
        .and_then(|nanos| DateTime::from_timestamp(told.seconds, nanos));
    if moment.is_none() {
        violations.push(FieldViolation::new(field, "is not a point in time"));
    }
    moment
}
