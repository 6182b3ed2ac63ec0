#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::{ErrorCode, Version};

fn malformed(text: &str) -> MalformedFrame {
    Frame::parse(text).unwrap_err()
}

fn raw(json: &str) -> &RawValue {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_call_is_read_and_its_payload_stays_as_it_was_written() {
    let text = r#" [ 2 , "19223201", "BootNotification", { "b" : 1.50, "a":null } ] "#;
    let Frame::Call(call) = Frame::parse(text).unwrap() else {
        panic!("not a CALL")
    };
    assert_eq!((&*call.id, &*call.action), ("19223201", "BootNotification"));
    assert_eq!(call.payload.get(), r#"{ "b" : 1.50, "a":null }"#);
    assert!(matches!(call.id, Cow::Borrowed(_)));
}

#[test]
fn a_call_result_is_read() {
    let Frame::CallResult(result) = Frame::parse(r#"[3,"a",{"status":"Accepted"}]"#).unwrap() else {
        panic!("not a CALLRESULT")
    };
    assert_eq!((&*result.id, result.payload.get()), ("a", r#"{"status":"Accepted"}"#));
}

#[test]
fn a_call_error_is_read_even_where_description_and_details_are_forgotten() {
    let Frame::CallError(error) = Frame::parse(r#"[4,"a","NotSupported","no",{"x":1}]"#).unwrap() else {
        panic!("not a CALLERROR")
    };
    assert_eq!((&*error.code, &*error.description), ("NotSupported", "no"));
    assert_eq!(error.details.map(RawValue::get), Some(r#"{"x":1}"#));
    let Frame::CallError(error) = Frame::parse(r#"[4,"a","GenericError"]"#).unwrap() else {
        panic!("not a CALLERROR")
    };
    assert_eq!(&*error.description, "");
    assert!(error.details.is_none());
}

#[test]
fn a_null_payload_and_further_elements_are_accepted() {
    let Frame::Call(call) = Frame::parse(r#"[2,"a","Heartbeat",null,"more",{},[]]"#).unwrap() else {
        panic!("not a CALL")
    };
    assert_eq!(call.payload.get(), "null");
}

#[test]
fn text_that_is_not_json_is_told_from_json_that_is_not_an_array() {
    for text in [
        "",
        "hello",
        "[2,\"a\"",
        "[2,\"a\",\"Heartbeat\",{}] x",
        "{\"a\":",
        "[2,\"a\",\"Heartbeat\",{\"a\":}]",
    ] {
        assert_eq!(malformed(text), MalformedFrame::NotJson, "{text}");
    }
    for text in ["{}", "null", "7", "\"[]\""] {
        assert_eq!(malformed(text), MalformedFrame::NotAnArray, "{text}");
    }
}

#[test]
fn a_frame_without_a_known_message_type_keeps_its_message_id() {
    let id = || Some("a".to_owned());
    assert_eq!(malformed("[]"), MalformedFrame::BadMessageType { message_id: None });
    assert_eq!(
        malformed(r#"["2","a","Heartbeat",{}]"#),
        MalformedFrame::BadMessageType { message_id: id() }
    );
    assert_eq!(
        malformed(r#"[2.5,"a"]"#),
        MalformedFrame::BadMessageType { message_id: id() }
    );
    assert_eq!(
        malformed(r#"[6,"a","X",{}]"#),
        MalformedFrame::UnknownMessageType {
            number: 6,
            message_id: id()
        }
    );
    assert_eq!(
        malformed("[-1,7]"),
        MalformedFrame::UnknownMessageType {
            number: -1,
            message_id: None
        }
    );
}

#[test]
fn a_message_id_is_text_of_1_to_36_characters() {
    let longest = "é".repeat(MAX_MESSAGE_ID);
    assert_eq!(
        Frame::parse(&format!(r#"[2,"{longest}","Heartbeat",{{}}]"#))
            .unwrap()
            .id(),
        longest
    );
    let too_long = "x".repeat(MAX_MESSAGE_ID + 1);
    for id in ["7", "null", "\"\"", "{}", r#""a\u0000""#, &format!("\"{too_long}\"")] {
        assert_eq!(
            malformed(&format!("[2,{id},\"Heartbeat\",{{}}]")),
            MalformedFrame::BadMessageId,
            "{id}"
        );
    }
    assert_eq!(malformed("[3]"), MalformedFrame::BadMessageId);
}

#[test]
fn a_call_that_names_its_id_can_be_refused() {
    let too_long = format!(r#"[2,"a","{}",{{}}]"#, "X".repeat(MAX_ACTION + 1));
    for text in [r#"[2,"a"]"#, r#"[2,"a",7,{}]"#, r#"[2,"a","",{}]"#, &too_long] {
        assert_eq!(
            malformed(text).call_to_refuse(),
            Some(("a", ErrorCode::FormatViolation)),
            "{text}"
        );
    }
    for text in [
        r#"[2,"a","Heartbeat"]"#,
        r#"[2,"a","Heartbeat",[]]"#,
        r#"[2,"a","Heartbeat","{}"]"#,
    ] {
        assert_eq!(
            malformed(text),
            MalformedFrame::BadCallPayload {
                message_id: "a".to_owned()
            }
        );
        assert_eq!(
            malformed(text).call_to_refuse(),
            Some(("a", ErrorCode::FormatViolation)),
            "{text}"
        );
    }
}

#[test]
fn a_spoilt_answer_names_the_call_that_it_ends_and_is_not_answered_itself() {
    for text in [r#"[3,"a"]"#, r#"[3,"a",[]]"#, r#"[4,"a"]"#, r#"[4,"a",13,"",{}]"#] {
        assert_eq!(malformed(text).spoilt_answer_to(), Some("a"), "{text}");
        assert_eq!(malformed(text).call_to_refuse(), None, "{text}");
    }
}

#[test]
fn frames_are_written_compact_on_one_line_and_an_empty_payload_is_an_object() {
    assert_eq!(
        call("1", "Reset", raw("{ \"type\":\r\n \"Hard\" }")),
        r#"[2,"1","Reset",{"type":"Hard"}]"#
    );
    assert_eq!(call_result("a\"b", raw(" null ")), r#"[3,"a\"b",{}]"#);
    assert_eq!(
        call_error(
            Version::V1_6,
            "1",
            ErrorCode::OccurrenceConstraintViolation,
            "idTag\nis required",
            None
        ),
        r#"[4,"1","OccurenceConstraintViolation","idTag\nis required",{}]"#
    );
}

#[test]
fn a_description_is_cut_to_255_characters() {
    let frame = call_error(Version::V1_6, "1", ErrorCode::InternalError, &"é".repeat(300), None);
    let Frame::CallError(error) = Frame::parse(&frame).unwrap() else {
        panic!("not a CALLERROR")
    };
    assert_eq!(error.description.chars().count(), 255);
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<String>().prop_map(|value| serde_json::Value::from(value).to_string()),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[ {} ]", items.join(" ,\n"))),
            prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|members| object(&members)),
        ]
    })
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(key, json)| format!("{} : {json}", serde_json::json!(key)))
        .collect();
    format!("{{ {} }}", members.join(",\t"))
}

prop_compose! {
    fn payload()(members in prop::collection::vec((any::<String>(), json()), 0..6)) -> String {
        object(&members)
    }
}

fn value(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap()
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_a_panic(text: String) {
        let _ = Frame::parse(&text);
    }

    #[test]
    fn any_array_is_parsed_without_a_panic(kind in 0..8, elements in prop::collection::vec(json(), 0..6)) {
        let text = format!("[{kind},{}]", elements.join(","));
        if let Err(malformed) = Frame::parse(&text) {
            prop_assert_ne!(malformed, MalformedFrame::NotAnArray);
        }
    }

    #[test]
    fn a_call_that_we_write_reads_back_the_same(id in "[^\\p{Cc}]{1,36}", action in "[A-Za-z]{1,40}", payload in payload()) {
        let text = call(&id, &action, raw(&payload));
        prop_assert!(!text.contains(['\n', '\t']));
        let Ok(Frame::Call(read)) = Frame::parse(&text) else { panic!("not a CALL: {text}") };
        prop_assert_eq!((&*read.id, &*read.action), (&*id, &*action));
        prop_assert_eq!(value(read.payload.get()), value(&payload));
    }

    #[test]
    fn a_call_result_that_we_write_reads_back_the_same(id in "[^\\p{Cc}]{1,36}", payload in payload()) {
        let text = call_result(&id, raw(&payload));
        let Ok(Frame::CallResult(read)) = Frame::parse(&text) else { panic!("not a CALLRESULT: {text}") };
        prop_assert_eq!(&*read.id, &*id);
        prop_assert_eq!(value(read.payload.get()), value(&payload));
    }

    #[test]
    fn a_call_error_that_we_write_reads_back_the_same(id in "[^\\p{Cc}]{1,36}", description in "[^\0]{0,255}", details in payload()) {
        let text = call_error(Version::V1_6, &id, ErrorCode::InternalError, &description, Some(raw(&details)));
        let Ok(Frame::CallError(read)) = Frame::parse(&text) else { panic!("not a CALLERROR: {text}") };
        prop_assert_eq!((&*read.id, &*read.code, &*read.description), (&*id, "InternalError", &*description));
        prop_assert_eq!(value(read.details.unwrap().get()), value(&details));
    }
}
