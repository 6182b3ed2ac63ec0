//! Frames: whatever comes in, it is one thing only, what is read is what was written, and a CALL that can be told to be one
//! is answered once.

use ocpp::frame::{Call, Frame, MAX_MESSAGE_ID, MalformedFrame, call, call_error, call_result};
use ocpp::{ErrorCode, Version};
use serde_json::Value;

/// # Panics
/// Something that must hold does not.
pub fn framing(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match Frame::parse(text) {
        Ok(frame) => read(&frame),
        Err(malformed) => refused(text, &malformed),
    }
}

fn read(frame: &Frame<'_>) {
    assert!(!frame.id().is_empty() && frame.id().chars().count() <= MAX_MESSAGE_ID);
    match frame {
        Frame::Call(read) => {
            let written = call(&read.id, &read.action, read.payload);
            let Ok(Frame::Call(again)) = Frame::parse(&written) else {
                panic!("{written} is no CALL");
            };
            assert_eq!((&again.id, &again.action), (&read.id, &read.action));
            assert!(!written.contains('\n'), "{written}");
            answered_once(read);
        }
        Frame::CallResult(read) => {
            let written = call_result(&read.id, read.payload);
            let Ok(Frame::CallResult(again)) = Frame::parse(&written) else {
                panic!("{written} is no CALLRESULT");
            };
            assert_eq!(again.id, read.id);
        }
        Frame::CallError(read) => {
            // A code in any spelling; what we make of it can be written again.
            let code = ErrorCode::parse(&read.code).unwrap_or(ErrorCode::GenericError);
            let written = call_error(Version::V1_6, &read.id, code, &read.description, None);
            is_error_for(&written, &read.id, code);
        }
    }
}

/// Either answer to a CALL is one frame that carries its id.
fn answered_once(read: &Call<'_>) {
    for code in [ErrorCode::NotImplemented, ErrorCode::InternalError] {
        is_error_for(&call_error(Version::V1_6, &read.id, code, "x", None), &read.id, code);
    }
}

fn refused(text: &str, malformed: &MalformedFrame) {
    let json = serde_json::from_str::<Value>(text);
    match malformed {
        // Depth and number limits of the full reader are stricter than ours.
        MalformedFrame::NotJson => assert!(json.is_err(), "{text} is JSON"),
        MalformedFrame::NotAnArray => assert!(!matches!(json, Ok(Value::Array(_))), "{text} is an array"),
        _ => assert!(
            !matches!(json, Ok(ref value) if !value.is_array()),
            "{text} is no array"
        ),
    }
    let (refusal, spoilt) = (malformed.call_to_refuse(), malformed.spoilt_answer_to());
    assert!(refusal.is_none() || spoilt.is_none(), "{malformed}");
    if let Some((id, code)) = refusal {
        if let Ok(Value::Array(elements)) = &json {
            assert_eq!(
                elements.first().map(ToString::to_string).as_deref().map(is_two),
                Some(true),
                "{text}"
            );
        }
        assert_eq!(malformed.message_id(), Some(id));
        is_error_for(
            &call_error(Version::V1_6, id, code, &malformed.to_string(), None),
            id,
            code,
        );
    }
}

/// `2`, `2.0` and `2e0` are the same number.
fn is_two(number: &str) -> bool {
    number
        .parse::<f64>()
        .is_ok_and(|number| (number - 2.0).abs() < f64::EPSILON)
}

fn is_error_for(written: &str, id: &str, code: ErrorCode) {
    let Ok(Frame::CallError(error)) = Frame::parse(written) else {
        panic!("{written} is no CALLERROR");
    };
    assert_eq!(
        (error.id.as_ref(), error.code.as_ref()),
        (id, code.as_str(Version::V1_6))
    );
}
