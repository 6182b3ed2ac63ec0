#![allow(clippy::unwrap_used)]

use super::*;
use crate::json::round_trip::{rich, rich_pool};

fn violations(text: &str) -> Vec<(String, String)> {
    let pool = rich_pool();
    match read(text.as_bytes(), &rich(&pool), &RawJsonFields::from_descriptors(&pool)) {
        Ok(message) => panic!("{text} was read as {message:?}"),
        Err(Unreadable::Malformed(malformed)) => panic!("{malformed}"),
        Err(Unreadable::Invalid(violations)) => violations
            .into_iter()
            .map(|violation| (violation.field, violation.message))
            .collect(),
    }
}

fn violation(text: &str) -> (String, String) {
    let mut all = violations(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn malformed(text: &[u8]) -> Malformed {
    let pool = rich_pool();
    match read(text, &rich(&pool), &RawJsonFields::default()) {
        Err(Unreadable::Malformed(malformed)) => malformed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_error_is_told_with_its_path() {
    let all = violations(
        r#"{"text": 5, "nope": 1, "int32": 2147483648, "inner": {"text": [], "tags": ["a", 1]}, "color": "MAUVE",
            "time": "yesterday", "data": "*"}"#,
    );
    let told: Vec<_> = all
        .iter()
        .map(|(field, message)| format!("{field} {message}"))
        .collect();
    assert_eq!(
        told,
        [
            "$.text must be a string, not a number",
            "$.nope is not a field of this request",
            "$.int32 is out of range",
            "$.inner.text must be a string, not an array",
            "$.inner.tags[1] must be a string, not a number",
            "$.color must be one of `COLOR_UNSPECIFIED`, `COLOR_RED`, `COLOR_BLUE`",
            "$.time must be a time as in RFC 3339, such as `2026-01-31T08:15:00Z`",
            "$.data must be base64",
        ]
    );
}

#[test]
fn a_field_may_not_appear_twice_under_either_name() {
    let expected = ("$.displayName".into(), "appears twice".into());
    assert_eq!(violation(r#"{"displayName": "a", "displayName": "b"}"#), expected);
    assert_eq!(violation(r#"{"display_name": "a", "displayName": null}"#), expected);
}

#[test]
fn the_members_of_a_oneof_exclude_each_other() {
    let told = violation(r#"{"either": "a", "or": 1}"#);
    assert_eq!(told, ("$.or".into(), "cannot be given together with `either`".into()));
}

#[test]
fn null_is_the_same_as_leaving_a_field_out() {
    let pool = rich_pool();
    let fields = RawJsonFields::default();
    let message = read(br#"{"text": null, "tags": null, "inner": null}"#, &rich(&pool), &fields).unwrap();
    assert_eq!(message, DynamicMessage::new(rich(&pool)));
    assert_eq!(violation(r#"{"tags": [null]}"#).0, "$.tags[0]");
}

#[test]
fn malformed_json_is_told_with_its_position() {
    let told = malformed(b"{\n  \"text\": \"a\",\n}");
    assert_eq!((told.line, told.column), (3, 1));
    assert_eq!(malformed(b"").line, 1);
    assert_eq!(malformed(b"{} x").column, 4);
    assert_eq!(malformed(b"{'text': 1}").column, 2);
    assert_eq!(malformed(b"{\"int32\": 01}").column, 12);
    let not_utf8 = malformed(b"{\n\"text\": \"\xff\"}");
    assert_eq!(
        (not_utf8.line, not_utf8.column, not_utf8.problem.as_str()),
        (2, 10, "it is not UTF-8")
    );
}

#[test]
fn a_document_of_another_shape_is_refused() {
    assert_eq!(violation("[]"), ("$".into(), "must be an object, not an array".into()));
    assert_eq!(violation("null"), ("$".into(), "must be an object, not null".into()));
}

#[test]
fn an_escape_that_stands_for_no_character_is_refused() {
    assert_eq!(
        violation(r#"{"text": "\ud800"}"#).1,
        "has an escape that stands for no character"
    );
    assert_eq!(violation(r#"{"\ud800": 1}"#).1, "has a name that is not valid text");
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{{\"structure\": {}1{}}}", "{\"a\":".repeat(80), "}".repeat(80));
    assert!(violation(&deep).1.contains("nested deeper than 64"));
    let deep = format!("{{\"value\": {}1{}}}", "[".repeat(5000), "]".repeat(5000));
    assert!(violation(&deep).1.contains("nested deeper than 64"));
}

#[test]
fn the_number_of_errors_is_bounded() {
    let many = format!("{{\"tags\": [{}1]}}", "1,".repeat(5000));
    assert_eq!(violations(&many).len(), MOST_VIOLATIONS);
}

#[test]
fn a_number_that_looks_like_the_inside_of_serde_json_is_an_object() {
    let told = violation(r#"{"int32": {"$serde_json::private::Number": "5"}}"#);
    assert_eq!(told, ("$.int32".into(), "must be a number, not an object".into()));
}

#[test]
fn a_raw_document_is_kept_to_the_letter() {
    let pool = rich_pool();
    let fields = RawJsonFields::from_descriptors(&pool);
    let message = read(br#"{"raw": {"b": 12.0, "a": 1e400}}"#, &rich(&pool), &fields).unwrap();
    let raw = message.get_field_by_name("raw").unwrap();
    assert_eq!(raw.as_str(), Some(r#"{"b": 12.0, "a": 1e400}"#));
}

#[test]
fn integers_keep_all_their_digits() {
    let pool = rich_pool();
    let message = read(
        br#"{"uint64": 18446744073709551615, "int64": "-9223372036854775808"}"#,
        &rich(&pool),
        &RawJsonFields::default(),
    )
    .unwrap();
    assert_eq!(message.get_field_by_name("uint64").unwrap().as_u64(), Some(u64::MAX));
    assert_eq!(message.get_field_by_name("int64").unwrap().as_i64(), Some(i64::MIN));
}
