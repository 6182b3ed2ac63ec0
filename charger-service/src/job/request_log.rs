//! Asks a charge point for a log, to a URL of ours (N01; the security whitepaper, 5.9).

use ocpp::v1_6::Action;
use rand::RngExt;
use serde_json::{Map, Value};
use service_kit::page;
use service_kit::reason::FieldViolation;
use tonic::Status;
use voltgate_proto::ocpp::v1::{Command, RequestLogRequest};

use super::Kind;
use super::ask::{NewJob, ask, public_url, put_retries, written};
use crate::State;
use crate::command::asking::Asking;
use crate::transfer::{NewTransfer, Token};

const TYPES: [&str; 2] = ["DiagnosticsLog", "SecurityLog"];

pub async fn request_log(state: &State, request: RequestLogRequest, asking: Asking) -> Result<Command, Status> {
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
        if let Some(moment) = page::time(field, told, &mut violations) {
            log.insert(name.to_owned(), written(moment));
        }
    }
    let mut payload = Map::new();
    payload.insert("log".to_owned(), Value::Object(log));
    payload.insert("logType".to_owned(), Value::String(request.log_type));
    payload.insert("requestId".to_owned(), number());
    put_retries(
        &mut payload,
        request.retries,
        request.retry_interval_seconds,
        &mut violations,
    );
    let job = NewJob {
        identity: request.identity,
        action: Action::GetLog,
        payload,
        transfer: NewTransfer {
            token,
            kind: Kind::Log,
            file: None,
            not_before: None,
        },
    };
    ask(state, asking, job, violations).await
}

/// By which notifications name the job. Those that operators make up are small mostly, and a charge point has few jobs.
pub fn number() -> Value {
    rand::rng().random_range(1_000_000..=i32::MAX).into()
}
