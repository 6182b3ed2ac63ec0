//! Asks a charge point for its diagnostics, to a URL of ours (1.6, 6.27).

use serde_json::{Map, Value};
use tonic::Status;
use voltgate_proto::ocpp::v1::{Command, RequestDiagnosticsRequest};

use super::Kind;
use super::ask::{Asked, ask, moment, public_url, written};
use crate::State;
use crate::audit::Author;
use crate::transfer::{NewTransfer, Token};

pub async fn request_diagnostics(
    state: &State,
    request: RequestDiagnosticsRequest,
    author: Author,
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
        if let Some(moment) = moment(field, told, &mut violations) {
            payload.insert(name.to_owned(), written(moment));
        }
    }
    let transfer = NewTransfer {
        token,
        kind: Kind::Diagnostics,
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
    ask(state, asked, ("GetDiagnostics", payload), transfer, author, violations).await
}
