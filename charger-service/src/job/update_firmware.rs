//! Has a charge point fetch firmware from a URL of ours and install it (1.6, 6.57; L01, and the security whitepaper, 5.21, where it is
//! signed).

use chrono::TimeDelta;
use ocpp::v1_6::Action;
use serde_json::{Map, Value, json};
use service_kit::database;
use service_kit::page;
use service_kit::reason::{self, FieldViolation};
use tonic::Status;
use voltgate_proto::ocpp::v1::{Command, UpdateFirmwareRequest};

use super::Kind;
use super::ask::{NewJob, ask, public_url, put_retries, written};
use super::request_log::number;
use crate::State;
use crate::command::asking::Asking;
use crate::file::firmware_named;
use crate::transfer::{NewTransfer, Token};

/// How far ahead it may be planned: its URL has to be good that long.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(366);

const LONGEST_CERTIFICATE: usize = 5500;
const LONGEST_SIGNATURE: usize = 800;

const NO_FIRMWARE: &str = "is not the name of a firmware that is here";

/// Certificate and signature, for a charge point to verify.
struct Signed {
    certificate: String,
    signature: String,
}

pub async fn update_firmware(state: &State, request: UpdateFirmwareRequest, asking: Asking) -> Result<Command, Status> {
    let url = public_url(state)?;
    let token = Token::generate();
    let mut violations = Vec::new();
    let now = state.clock.now();
    let retrieve_at = page::time("retrieveAt", request.retrieve_at, &mut violations);
    if retrieve_at.is_some_and(|at| at > now + LONGEST_WAIT) {
        let problem = "must be at most 366 days from now";
        violations.push(FieldViolation::new("retrieveAt", problem));
    }
    let install_at = page::time("installAt", request.install_at, &mut violations);
    let signed = signed(request.signing_certificate, request.signature, &mut violations);
    if install_at.is_some() && signed.is_none() {
        let problem = "has a use with a signature only";
        violations.push(FieldViolation::new("installAt", problem));
    }
    let file = {
        let mut connection = database::begin(&state.database)
            .await
            .map_err(|error| database::failed(&error))?;
        let named = firmware_named(&mut connection, &request.firmware).await;
        named.map_err(|error| database::failed(&error))?
    };
    if file.is_none() {
        violations.push(FieldViolation::new("firmware", NO_FIRMWARE));
    }
    let location = url.of_download(&token, &request.firmware);
    let retrieve = written(retrieve_at.unwrap_or(now));
    let (action, payload) = match signed {
        None => (
            Action::UpdateFirmware,
            json!({ "location": location, "retrieveDate": retrieve }),
        ),
        Some(Signed { certificate, signature }) => {
            let mut firmware = json!({ "location": location, "retrieveDateTime": retrieve });
            if let Some(install_at) = install_at {
                firmware["installDateTime"] = written(install_at);
            }
            firmware["signingCertificate"] = certificate.into();
            firmware["signature"] = signature.into();
            (
                Action::SignedUpdateFirmware,
                json!({ "requestId": number(), "firmware": firmware }),
            )
        }
    };
    let mut payload = object(payload);
    put_retries(
        &mut payload,
        request.retries,
        request.retry_interval_seconds,
        &mut violations,
    );
    let job = NewJob {
        identity: request.identity,
        action,
        payload,
        transfer: NewTransfer {
            token,
            kind: Kind::Firmware,
            file,
            not_before: retrieve_at,
        },
    };
    ask(state, asking, job, violations).await
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn signed(
    certificate: Option<String>,
    signature: Option<String>,
    violations: &mut Vec<FieldViolation>,
) -> Option<Signed> {
    for (field, text, longest) in [
        ("signingCertificate", &certificate, LONGEST_CERTIFICATE),
        ("signature", &signature, LONGEST_SIGNATURE),
    ] {
        let length = text.as_ref().map(|text| text.chars().count());
        if length.is_some_and(|length| !(1..=longest).contains(&length)) {
            let problem = format!("must have 1 to {longest} characters");
            violations.push(FieldViolation::new(field, problem));
        }
    }
    match (certificate, signature) {
        (Some(certificate), Some(signature)) => Some(Signed { certificate, signature }),
        (None, None) => None,
        (Some(_), None) => {
            let problem = "is required together with a certificate";
            violations.push(FieldViolation::new("signature", problem));
            None
        }
        (None, Some(_)) => {
            let problem = "is required together with a signature";
            violations.push(FieldViolation::new("signingCertificate", problem));
            None
        }
    }
}

/// The firmware was deleted between one look and the next.
pub fn gone() -> Status {
    reason::invalid(vec![FieldViolation::new("firmware", NO_FIRMWARE)])
}
