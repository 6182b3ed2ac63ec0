//! What others are asked before a CALL of 1.6 is answered.

use ocpp::v1_6::{Action, Authorize, DataTransfer, StartTransaction, StopTransaction};
use ocpp::{Message, Version, validate};
use serde_json::value::RawValue;

use crate::authorization::Purpose;
use crate::session::consult::Question;

/// None where there is nothing to ask, or the CALL will be refused for what it says.
pub fn question(action: &str, payload: &RawValue, has_authority: bool) -> Option<Question> {
    let action = Action::parse(action)?;
    let question = match action {
        Action::Authorize | Action::StartTransaction | Action::StopTransaction if !has_authority => return None,
        Action::Authorize => {
            let request = Authorize::read(payload).ok()?;
            token(request.id_tag, None, Purpose::Authorize)
        }
        Action::StartTransaction => {
            let request = StartTransaction::read(payload).ok()?;
            token(request.id_tag, Some(request.connector_id), Purpose::Start)
        }
        Action::StopTransaction => token(StopTransaction::read(payload).id_tag?, None, Purpose::Stop),
        Action::DataTransfer => {
            let request = DataTransfer::read(payload).ok()?;
            Question::Vendor {
                vendor_id: request.vendor_id,
                message_id: request.message_id,
                data: request.data,
            }
        }
        _ => return None,
    };
    let is_refused = !action.tolerates_violations()
        && !validate(Version::V1_6, Message::Request(action.as_str()), payload).is_empty();
    (!is_refused).then_some(question)
}

/// Whether what others say may change what is stored. A stop is stored whatever they say: it only tells more of its token.
pub fn is_decided_by_others(action: &str) -> bool {
    Action::parse(action) != Some(Action::StopTransaction)
}

fn token(id_token: String, connector_id: Option<i32>, purpose: Purpose) -> Question {
    Question::Token {
        id_token,
        connector_id,
        purpose,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn asks(action: &str, payload: &str) -> bool {
        question(action, serde_json::from_str(payload).unwrap(), true).is_some()
    }

    #[test]
    fn others_are_asked_about_tokens_and_transfers_that_will_not_be_refused() {
        for (action, payload, expected) in [
            ("Authorize", r#"{"idTag":"TAG"}"#, true),
            ("Authorize", r#"{"idTag":"123456789012345678901"}"#, false),
            ("Authorize", "{}", false),
            (
                "StartTransaction",
                r#"{"connectorId":1,"idTag":"TAG","meterStart":"?"}"#,
                true,
            ),
            ("StopTransaction", r#"{"idTag":"TAG"}"#, true),
            ("StopTransaction", r#"{"transactionId":1}"#, false),
            ("DataTransfer", r#"{"vendorId":"com.example"}"#, true),
            ("DataTransfer", r#"{"vendorId":"com.example","data":5}"#, false),
            ("Heartbeat", "{}", false),
            ("NoSuchAction", "{}", false),
        ] {
            assert_eq!(asks(action, payload), expected, "{action} {payload}");
        }
    }

    #[test]
    fn without_an_authority_nobody_is_asked_about_tokens() {
        let is_asked = |action, payload| question(action, serde_json::from_str(payload).unwrap(), false).is_some();
        assert!(!is_asked("Authorize", r#"{"idTag":"TAG"}"#));
        assert!(is_asked("DataTransfer", r#"{"vendorId":"com.example"}"#));
    }
}
