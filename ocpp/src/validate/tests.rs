#![allow(clippy::unwrap_used)]

use super::*;
use crate::{ErrorCode, v1_6::Action};

fn violations(message: Message<'_>, payload: &str) -> Vec<Violation> {
    validate(Version::V1_6, message, serde_json::from_str(payload).unwrap())
}

fn only(message: Message<'_>, payload: &str) -> Violation {
    let violations = violations(message, payload);
    assert_eq!(violations.len(), 1, "{violations:?}");
    violations.into_iter().next().unwrap()
}

const START: Message<'static> = Message::Request("StartTransaction");

#[test]
fn every_action_has_a_table_for_its_request_and_its_response() {
    for action in Action::ALL {
        for message in [Message::Request(action.as_str()), Message::Response(action.as_str())] {
            let shape = v1_6::table::shape(message);
            assert!(shape.is_some_and(|shape| shape.len() <= 64), "{message:?}");
        }
    }
}

#[test]
fn a_payload_that_matches_has_no_violation() {
    let start = r#"{"connectorId":1,"idTag":"04E1B2C3","meterStart":0,"timestamp":"2026-01-31T09:30:00Z"}"#;
    assert_eq!(violations(START, start), []);
}

#[test]
fn a_null_payload_is_an_empty_object_in_1_6() {
    assert_eq!(violations(Message::Request("Heartbeat"), "null"), []);
    assert_eq!(only(Message::Request("Authorize"), "null").path, "$.idTag");
}

#[test]
fn unknown_fields_are_ignored_at_every_level() {
    let payload = r#"{"x":{"deep":[1,{}]},"connectorId":1,"meterValue":[
        {"timestamp":"2026-01-31T09:30:00Z","y":[],"sampledValue":[{"value":"1","z":null}]}]}"#;
    assert_eq!(violations(Message::Request("MeterValues"), payload), []);
}

#[test]
fn words_that_vendors_add_to_meter_values_are_no_violation_but_other_types_are() {
    let sample = |sample: &str| {
        format!(r#"{{"connectorId":1,"meterValue":[{{"timestamp":"2026-01-31T09:30:00","sampledValue":[{sample}]}}]}}"#)
    };
    let unknown = r#"{"value":"1","measurand":"Energy.Tasted","unit":"furlong","context":"Boredom","phase":"L9",
        "location":"Moon","format":"Cooked"}"#;
    assert_eq!(violations(Message::Request("MeterValues"), &sample(unknown)), []);
    let violation = only(Message::Request("MeterValues"), &sample(r#"{"value":1}"#));
    assert_eq!(
        violation.to_string(),
        "$.meterValue[0].sampledValue[0].value is a number, but must be text"
    );
    assert_eq!(violation.error_code(), ErrorCode::TypeConstraintViolation);
}

#[test]
fn a_missing_field_violates_occurrence() {
    let violation = only(
        Message::Request("StatusNotification"),
        r#"{"connectorId":0,"status":"Available"}"#,
    );
    assert_eq!(violation.to_string(), "$.errorCode is required");
    assert_eq!(violation.kind, ViolationKind::MissingField);
    assert_eq!(violation.error_code(), ErrorCode::OccurrenceConstraintViolation);
}

#[test]
fn a_list_that_needs_an_entry_violates_occurrence_when_empty() {
    let payload = r#"{"status":"NotFound","certificateHashData":[]}"#;
    let violation = only(Message::Response("GetInstalledCertificateIds"), payload);
    assert_eq!(violation.kind, ViolationKind::TooFewItems);
    assert_eq!(violation.error_code(), ErrorCode::OccurrenceConstraintViolation);
}

#[test]
fn an_over_long_id_tag_violates_a_property_and_is_not_quoted() {
    let violation = only(Message::Request("Authorize"), r#"{"idTag":"123456789012345678901"}"#);
    assert_eq!(
        violation.to_string(),
        "$.idTag has 21 characters, but at most 20 are allowed"
    );
    assert_eq!(violation.error_code(), ErrorCode::PropertyConstraintViolation);
}

#[test]
fn length_is_counted_in_characters_not_in_bytes_or_escapes() {
    let twenty = format!(r#"{{"idTag":"{}\ud83d\ude97"}}"#, "é".repeat(19));
    assert_eq!(violations(Message::Request("Authorize"), &twenty), []);
}

#[test]
fn an_unknown_word_violates_a_property_and_is_quoted_shortened() {
    let payload = format!(r#"{{"status":"Bored{}"}}"#, "!".repeat(1000));
    let violation = only(Message::Request("DiagnosticsStatusNotification"), &payload);
    assert_eq!(violation.kind, ViolationKind::NotInEnum);
    assert_eq!(violation.error_code(), ErrorCode::PropertyConstraintViolation);
    assert!(
        violation
            .detail
            .ends_with("but must be one of Idle, Uploaded, UploadFailed, Uploading")
    );
    assert!(violation.detail.len() < 150, "{violation}");
}

#[test]
fn integers_are_whole_and_have_32_bits() {
    let remote_stop = |id: &str| {
        violations(
            Message::Request("RemoteStopTransaction"),
            &format!(r#"{{"transactionId":{id}}}"#),
        )
    };
    for id in ["0", "-1", "2147483647", "12.0", "1e3"] {
        assert_eq!(remote_stop(id), [], "{id}");
    }
    for (id, kind) in [
        ("1.5", ViolationKind::WrongType),
        ("\"1\"", ViolationKind::WrongType),
        ("null", ViolationKind::WrongType),
        ("true", ViolationKind::WrongType),
        ("2147483648", ViolationKind::OutOfRange),
        ("99999999999999999999", ViolationKind::OutOfRange),
    ] {
        assert_eq!(remote_stop(id)[0].kind, kind, "{id}");
    }
}

#[test]
fn limits_of_a_schedule_have_one_decimal_at_most() {
    let profile = |limit: &str| {
        format!(
            r#"{{"connectorId":1,"csChargingProfiles":{{"chargingProfileId":1,"stackLevel":0,
            "chargingProfilePurpose":"TxProfile","chargingProfileKind":"Relative","chargingSchedule":{{
            "chargingRateUnit":"A","chargingSchedulePeriod":[{{"startPeriod":0,"limit":{limit}}}]}}}}}}"#
        )
    };
    assert_eq!(violations(Message::Request("SetChargingProfile"), &profile("16.1")), []);
    let violation = only(Message::Request("SetChargingProfile"), &profile("16.15"));
    assert_eq!(violation.kind, ViolationKind::TooPrecise);
    assert_eq!(
        violation.path,
        "$.csChargingProfiles.chargingSchedule.chargingSchedulePeriod[0].limit"
    );
}

#[test]
fn a_date_time_may_lack_its_offset_but_must_be_one() {
    let heartbeat = |time: &str| {
        violations(
            Message::Response("Heartbeat"),
            &format!(r#"{{"currentTime":"{time}"}}"#),
        )
    };
    for time in [
        "2026-01-31T09:30:00Z",
        "2026-01-31T09:30:00",
        "2026-01-31T09:30:00.123456+01:00",
    ] {
        assert_eq!(heartbeat(time), [], "{time}");
    }
    let violation = heartbeat("half past nine").pop().unwrap();
    assert_eq!(violation.kind, ViolationKind::BadDateTime);
    assert_eq!(violation.error_code(), ErrorCode::PropertyConstraintViolation);
}

#[test]
fn all_violations_are_listed_in_the_order_of_the_payload() {
    let payload = r#"{"timestamp":"?","idTag":7,"connectorId":1}"#;
    let paths: Vec<_> = violations(START, payload)
        .into_iter()
        .map(|violation| violation.path)
        .collect();
    assert_eq!(paths, ["$.timestamp", "$.idTag", "$.meterStart"]);
}

#[test]
fn a_payload_full_of_violations_lists_only_the_first_of_them() {
    let payload = format!(r#"{{"connectorId":1,"meterValue":[{}0]}}"#, "0,".repeat(100_000));
    assert_eq!(
        violations(Message::Request("MeterValues"), &payload).len(),
        MAX_VIOLATIONS
    );
}

#[test]
fn a_payload_that_is_no_object_has_the_wrong_type() {
    let violation = only(Message::Request("Heartbeat"), "[]");
    assert_eq!(violation.to_string(), "$ is a list, but must be an object");
}

#[test]
fn an_unknown_action_is_not_implemented() {
    let violation = only(Message::Request("MakeCoffee"), "{}");
    assert_eq!(violation.error_code(), ErrorCode::NotImplemented);
    assert_eq!(
        violation.to_string(),
        "$ belongs to \"MakeCoffee\", which is not an action of OCPP 1.6"
    );
}
