//! What a charge point is to be told: an action with a payload, held against the specification. It goes out as it was written, to the
//! letter.

use ocpp::v1_6::Action;
use ocpp::{Message, Version, validate};
use serde_json::value::RawValue;
use service_kit::reason::FieldViolation;

use crate::redact;

/// One that breaks no rule of the specification.
#[derive(Debug)]
pub struct Call {
    pub action: Action,
    pub payload: Box<RawValue>,
}

impl Call {
    /// Collects all that is wrong. No payload is an empty one. `place`: where it stands in the request, under which its faults are
    /// told by their JSON paths.
    pub fn parse(action: &str, payload: &[u8], place: &str) -> Result<Self, Vec<FieldViolation>> {
        let mut violations = Vec::new();
        let action = Action::parse(action).filter(|action| action.is_for_station());
        if action.is_none() {
            let problem = "is not an action that a central system sends in OCPP 1.6";
            violations.push(FieldViolation::new("action", problem));
        }
        let payload = if payload.is_empty() { b"{}" } else { payload };
        let payload = serde_json::from_slice::<Box<RawValue>>(payload);
        match (&payload, action) {
            (Ok(payload), Some(action)) => violations.extend(
                validate(Version::V1_6, Message::Request(action.as_str()), payload)
                    .into_iter()
                    .map(|violation| FieldViolation::new(within(place, &violation.path), violation.detail)),
            ),
            (Ok(_), None) => {}
            (Err(error), _) => violations.push(FieldViolation::new(place, format!("is not JSON: {error}"))),
        }
        match (action, payload) {
            (Some(action), Ok(payload)) if violations.is_empty() => Ok(Self { action, payload }),
            _ => Err(violations),
        }
    }

    /// Whether something in it is for one charge point alone to know.
    pub fn holds_a_secret(&self) -> bool {
        redact::request(self.action.as_str(), self.payload.get()) != self.payload.get()
    }
}

/// A JSON path in the payload, as a path in the request.
fn within(place: &str, path: &str) -> String {
    format!("{place}{}", path.strip_prefix('$').unwrap_or(path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_by_where_the_payload_stands() {
        let faults = |place| {
            let refused = Call::parse("Reset", br#"{"type":"Warm"}"#, place).unwrap_err();
            refused.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
        };
        assert_eq!(faults("$"), ["$.type"]);
        assert_eq!(faults("command.payload"), ["command.payload.type"]);
        let refused = Call::parse("FooBar", b"{", "payload").unwrap_err();
        let fields: Vec<_> = refused.into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["action", "payload"]);
    }

    #[test]
    fn what_is_for_one_charge_point_to_know_is_seen() {
        let holds =
            |action: &str, payload: &str| Call::parse(action, payload.as_bytes(), "$").unwrap().holds_a_secret();
        assert!(holds(
            "ChangeConfiguration",
            r#"{"key":"authorizationkey","value":"0123456789abcdef"}"#
        ));
        assert!(holds(
            "GetDiagnostics",
            r#"{"location":"ftp://user:secret@example.com/"}"#
        ));
        assert!(!holds("GetDiagnostics", r#"{"location":"ftp://example.com/"}"#));
        assert!(!holds(
            "ChangeConfiguration",
            r#"{"key":"HeartbeatInterval","value":"300"}"#
        ));
    }
}
