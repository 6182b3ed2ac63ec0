//! What others are asked before a CALL of 1.6 is answered.

use ocpp::v1_6::{Action, Authorize, DataTransfer, StartTransaction, StopTransaction};
use ocpp::{Message, Version, validate};
use serde_json::value::RawValue;

use crate::authorization::Purpose;
use crate::session::consult::Question;

/// None where there is nothing to ask, or the CALL will be refused for what it says.
pub fn question(action: &str, payload: &RawValue) -> Option<Question> {
    let action = Action::parse(action)?;
    let question = match action {
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
        question(action, serde_json::from_str(payload).unwrap()).is_some()
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
}
