//! Asks a charge point for its diagnostics, to a URL of ours (1.6, 6.27).

use ocpp::v1_6::Action;
use serde_json::{Map, Value};
use service_kit::page;
use tonic::Status;
use voltgate_proto::ocpp::v1::{Command, RequestDiagnosticsRequest};

use super::Kind;
use super::ask::{NewJob, ask, public_url, put_retries, written};
use crate::State;
use crate::command::asking::Asking;
use crate::transfer::{NewTransfer, Token};

pub async fn request_diagnostics(
    state: &State,
    request: RequestDiagnosticsRequest,
    asking: Asking,
) -> Result<Command, Status> {
    let url = public_url(state)?;
    let token = Token::generate();
    let mut violations = Vec::new();
    let mut payload = Map::new();
    payload.insert("location".to_owned(), Value::String(url.of_upload(&token)));
    for (field, name, told) in [
        ("since", "startTime", request.since),
        ("until", "stopTime", request.until),
    ] {
        if let Some(moment) = page::time(field, told, &mut violations) {
            payload.insert(name.to_owned(), written(moment));
        }
    }
    put_retries(
        &mut payload,
        request.retries,
        request.retry_interval_seconds,
        &mut violations,
    );
    let job = NewJob {
        identity: request.identity,
        action: Action::GetDiagnostics,
        payload,
        transfer: NewTransfer {
            token,
            kind: Kind::Diagnostics,
            file: None,
            not_before: None,
        },
    };
    ask(state, asking, job, violations).await
}
