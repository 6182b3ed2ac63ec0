//! Asks a charge point for a log, to a URL of ours (N01; the security whitepaper, 5.9).

use rand::RngExt;
use serde_json::{Map, Value};
use service_kit::reason::FieldViolation;
use tonic::Status;
use voltgate_proto::ocpp::v1::{Command, RequestLogRequest};

use super::Kind;
use super::ask::{Asked, ask, moment, public_url, written};
use crate::State;
use crate::audit::Author;
use crate::transfer::{NewTransfer, Token};

const TYPES: [&str; 2] = ["DiagnosticsLog", "SecurityLog"];

pub async fn request_log(state: &State, request: RequestLogRequest, author: Author) -> Result<Command, Status> {
    let url = public_url(state)?;
    let token = Token::generate();
    let mut violations = Vec::new();
    if !TYPES.contains(&request.log_type.as_str()) {
        let problem = "must be DiagnosticsLog or SecurityLog";
        violations.push(FieldViolation::new("logType", problem));
    }
    let mut log = Map::new();
    log.insert("remoteLocation".to_owned(), Value::String(url.of_upload(&token)));
    for (field, name, told) in [
        ("since", "oldestTimestamp", request.since),
        ("until", "latestTimestamp", request.until),
    ] {
        if let Some(moment) = moment(field, told, &mut violations) {
            log.insert(name.to_owned(), written(moment));
        }
    }
    let mut payload = Map::new();
    payload.insert("log".to_owned(), Value::Object(log));
    payload.insert("logType".to_owned(), Value::String(request.log_type));
    payload.insert("requestId".to_owned(), number());
    let transfer = NewTransfer {
        token,
        kind: Kind::Log,
        file: None,
        not_before: None,
    };
    let asked = Asked {
        identity: request.identity,
        retries: request.retries,
        retry_interval_seconds: request.retry_interval_seconds,
        wait_seconds: request.wait_seconds,
        expires_in_seconds: request.expires_in_seconds,
    };
    ask(state, asked, ("GetLog", payload), transfer, author, violations).await
}

/// By which notifications name the job. Those that operators make up are small mostly, and a charge point has few jobs.
pub fn number() -> Value {
    rand::rng().random_range(1_000_000..=i32::MAX).into()
}
