//! Asks a charge point to ask for another certificate (A02).

use ocpp::v1_6::Action;
use serde_json::json;
use service_kit::reason::FieldViolation;
use voltgate_proto::ocpp::v1::RenewCertificateRequest;

use crate::audit::Author;
use crate::command::send::{Patience, SendCommand};

pub fn parse(request: RenewCertificateRequest, requested_by: Author) -> Result<SendCommand, Vec<FieldViolation>> {
    let payload = json!({ "requestedMessage": "SignChargePointCertificate" });
    let call = (Action::ExtendedTriggerMessage, payload.to_string());
    let patience = Patience {
        wait_seconds: request.wait_seconds,
        expires_in_seconds: request.expires_in_seconds,
    };
    SendCommand::worded(request.identity, call, patience, requested_by, None)
}
