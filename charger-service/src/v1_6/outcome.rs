//! What a charge point's answer to a CALL of ours means for the command behind it.

use ocpp::v1_6::StatusOnly;
use ocpp::{Message, Version, validate};
use serde_json::value::RawValue;

use crate::command::status::Status;

/// The status words with which a charge point agrees. The word itself is kept with the command.
const AGREEMENT: [&str; 5] = [
    "Accepted",
    "AcceptedCanceled",
    "RebootRequired",
    "Scheduled",
    "Unlocked",
];

/// Some answers carry no status, and the CALLRESULT itself is the agreement. Where one is due and cannot be read, nobody
/// knows what the charge point did: an error.
pub fn outcome(action: &str, payload: &RawValue) -> Status {
    match StatusOnly::read(payload) {
        Ok(answer) if AGREEMENT.contains(&answer.status.as_str()) => Status::Accepted,
        Ok(_) => Status::Rejected,
        Err(_) if status_is_due(action, payload) => Status::Error,
        Err(_) => Status::Accepted,
    }
}

fn status_is_due(action: &str, payload: &RawValue) -> bool {
    validate(Version::V1_6, Message::Response(action), payload)
        .iter()
        .any(|violation| violation.path == "$.status")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(action: &str, payload: &str) -> Status {
        outcome(action, serde_json::from_str(payload).unwrap())
    }

    #[test]
    fn every_word_of_agreement_is_an_acceptance() {
        assert_eq!(
            of("RemoteStartTransaction", r#"{"status":"Accepted"}"#),
            Status::Accepted
        );
        assert_eq!(of("ChangeAvailability", r#"{"status":"Scheduled"}"#), Status::Accepted);
        assert_eq!(
            of("ChangeConfiguration", r#"{"status":"RebootRequired"}"#),
            Status::Accepted
        );
        assert_eq!(of("UnlockConnector", r#"{"status":"Unlocked"}"#), Status::Accepted);
    }

    #[test]
    fn any_other_word_is_a_rejection() {
        assert_eq!(
            of("RemoteStartTransaction", r#"{"status":"Rejected"}"#),
            Status::Rejected
        );
        assert_eq!(of("UnlockConnector", r#"{"status":"UnlockFailed"}"#), Status::Rejected);
        assert_eq!(of("SendLocalList", r#"{"status":"VersionMismatch"}"#), Status::Rejected);
    }

    #[test]
    fn an_answer_without_a_status_agrees_where_none_is_due() {
        assert_eq!(of("GetConfiguration", r#"{"configurationKey":[]}"#), Status::Accepted);
        assert_eq!(of("GetLocalListVersion", r#"{"listVersion":3}"#), Status::Accepted);
        assert_eq!(of("UpdateFirmware", "{}"), Status::Accepted);
    }

    #[test]
    fn an_answer_whose_status_is_missing_is_an_error() {
        assert_eq!(of("Reset", "{}"), Status::Error);
        assert_eq!(of("Reset", r#"{"status":null}"#), Status::Error);
    }
}
