//! Payloads of OCPP 1.6: the validator and the decoders agree about every one of them. The first byte of the input chooses
//! the action, the rest is the payload.

use ocpp::v1_6::{
    Action, Authorize, BootNotification, DataTransfer, MeterValues, StartTransaction, StatusNotification, StatusOnly,
    StopTransaction,
};
use ocpp::validate::MAX_VIOLATIONS;
use ocpp::{ErrorCode, Message, Unreadable, Version, Violation, validate};
use serde_json::value::RawValue;

/// # Panics
/// Something that must hold does not.
pub fn messages(input: &[u8]) {
    let Some((&choice, payload)) = input.split_first() else {
        return;
    };
    let action = Action::ALL[usize::from(choice) % Action::ALL.len()];
    let Ok(payload) = serde_json::from_slice::<&RawValue>(payload) else {
        return;
    };
    // A frame with any other payload is malformed, and never comes so far.
    if !matches!(payload.get().as_bytes().first(), Some(b'{' | b'n')) {
        return;
    }
    let request = validate(Version::V1_6, Message::Request(action.as_str()), payload);
    judge(&request);
    if let Err(unreadable) = decode(action, payload) {
        let path = format!("$.{}", unreadable.field);
        // A list that is full does not hold everything.
        assert!(
            request.len() == MAX_VIOLATIONS || request.iter().any(|violation| violation.path == path),
            "{action:?} {payload}: {unreadable}, and the validator finds {request:?}"
        );
    }
    let response = validate(Version::V1_6, Message::Response(action.as_str()), payload);
    judge(&response);
    let _any_status = StatusOnly::read(payload);
}

fn decode(action: Action, payload: &RawValue) -> Result<(), Unreadable> {
    match action {
        Action::Authorize => Authorize::read(payload).map(drop),
        Action::BootNotification => {
            BootNotification::read(payload);
            Ok(())
        }
        Action::DataTransfer => DataTransfer::read(payload).map(drop),
        Action::MeterValues => {
            MeterValues::read(payload);
            Ok(())
        }
        Action::StartTransaction => StartTransaction::read(payload).map(drop),
        Action::StatusNotification => StatusNotification::read(payload).map(drop),
        Action::StopTransaction => {
            StopTransaction::read(payload);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Every fault has the code of its class, and a place in the payload.
fn judge(violations: &[Violation]) {
    for violation in violations {
        assert!(violation.path.starts_with('$'), "{violation}");
        assert!(
            matches!(
                violation.error_code(),
                ErrorCode::OccurrenceConstraintViolation
                    | ErrorCode::TypeConstraintViolation
                    | ErrorCode::PropertyConstraintViolation
                    | ErrorCode::FormatViolation
            ),
            "{violation} is {:?}",
            violation.error_code()
        );
    }
}
