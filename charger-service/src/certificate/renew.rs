//! Asks a charge point to ask for another certificate (A02).

use serde_json::json;
use service_kit::reason::FieldViolation;
use voltgate_proto::google::api::HttpBody;
use voltgate_proto::ocpp::v1::{RenewCertificateRequest, SendCommandRequest};

use crate::audit::Author;
use crate::command::send::SendCommand;

pub fn parse(request: RenewCertificateRequest, requested_by: Author) -> Result<SendCommand, Vec<FieldViolation>> {
    let payload = json!({ "requestedMessage": "SignChargePointCertificate" });
    let command = SendCommandRequest {
        identity: request.identity,
        action: "ExtendedTriggerMessage".to_owned(),
        payload: Some(HttpBody {
            data: payload.to_string().into(),
            ..HttpBody::default()
        }),
        wait_seconds: request.wait_seconds,
        expires_in_seconds: request.expires_in_seconds,
    };
    SendCommand::parse(command, requested_by, None)
}
