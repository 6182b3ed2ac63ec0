//! Asks a charge point to ask for another certificate (A02).

use ocpp::v1_6::Action;
use serde_json::json;
use service_kit::reason::FieldViolation;
use voltgate_proto::ocpp::v1::RenewCertificateRequest;

use crate::command::asking::Asking;
use crate::command::send::SendCommand;

pub fn parse(request: RenewCertificateRequest, asking: Asking) -> Result<SendCommand, Vec<FieldViolation>> {
    let payload = json!({ "requestedMessage": "SignChargePointCertificate" });
    let call = (Action::ExtendedTriggerMessage, payload.to_string());
    SendCommand::worded(request.identity, call, asking)
}
