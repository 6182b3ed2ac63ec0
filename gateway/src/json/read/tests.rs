#![allow(clippy::unwrap_used)]

use super::*;
use crate::json::rich::{rich, rich_pool};

fn violations(text: &str) -> Vec<(String, String)> {
    let pool = rich_pool();
    match read(
        text.as_bytes(),
        &rich(&pool),
        Context::alone(&RawJsonFields::from_descriptors(&pool)),
    ) {
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
    match read(text, &rich(&pool), Context::alone(&RawJsonFields::default())) {
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
    let message = read(
        br#"{"text": null, "tags": null, "inner": null}"#,
        &rich(&pool),
        Context::alone(&fields),
    )
    .unwrap();
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
    let message = read(
        br#"{"raw": {"b": 12.0, "a": 1e400}}"#,
        &rich(&pool),
        Context::alone(&fields),
    )
    .unwrap();
    let raw = message.get_field_by_name("raw").unwrap();
    assert_eq!(raw.as_str(), Some(r#"{"b": 12.0, "a": 1e400}"#));
}

#[test]
fn integers_keep_all_their_digits() {
    let pool = rich_pool();
    let message = read(
        br#"{"uint64": 18446744073709551615, "int64": "-9223372036854775808"}"#,
        &rich(&pool),
        Context::alone(&RawJsonFields::default()),
    )
    .unwrap();
    assert_eq!(message.get_field_by_name("uint64").unwrap().as_u64(), Some(u64::MAX));
    assert_eq!(message.get_field_by_name("int64").unwrap().as_i64(), Some(i64::MIN));
}

/// The document as it is written again.
fn accepted(text: &str) -> String {
    let pool = rich_pool();
    let fields = RawJsonFields::from_descriptors(&pool);
    let message =
        read(text.as_bytes(), &rich(&pool), Context::alone(&fields)).unwrap_or_else(|why| panic!("{text}: {why:?}"));
    String::from_utf8(crate::json::write(&message, None, &fields).unwrap()).unwrap()
}

#[test]
fn an_integer_may_be_a_whole_number_in_any_notation() {
    for number in ["12", "12.0", "1.2e1", "\"12\"", "\"12.0\"", "120E-1"] {
        let text = format!(r#"{{"int32": {number}, "int64": {number}, "uint64": {number}}}"#);
        let written = accepted(&text);
        assert!(written.contains(r#""int32":12,"int64":"12","#), "{text}: {written}");
    }
    for number in [
        "12.5", "\"12a\"", "\"\"", "\" 12\"", "\"+12\"", "\"012\"", "\"0x12\"", "1e-1",
    ] {
        let told = violation(&format!(r#"{{"int32": {number}}}"#));
        assert_eq!(told, ("$.int32".into(), "must be an integer".into()), "{number}");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    for (field, number) in [
        ("int32", "2147483648"),
        ("int32", "-2147483649"),
        ("int64", "9223372036854775808"),
        ("int64", "\"9223372036854775808\""),
        ("uint32", "-1"),
        ("uint32", "4294967296"),
        ("uint64", "18446744073709551616"),
        ("float", "3.5e38"),
        ("double", "1.8e308"),
        ("double", "\"-1.8e308\""),
    ] {
        let told = violation(&format!(r#"{{"{field}": {number}}}"#));
        assert_eq!(told, (format!("$.{field}"), "is out of range".into()), "{number}");
    }
}

#[test]
fn floating_point_has_three_names_and_they_are_strings() {
    for name in ["NaN", "Infinity", "-Infinity"] {
        assert!(accepted(&format!(r#"{{"double": "{name}"}}"#)).contains(&format!(r#""double":"{name}""#)));
        assert!(malformed(format!(r#"{{"double": {name}}}"#).as_bytes()).line == 1);
    }
    for other in ["nan", "inf", "+Infinity", "INFINITY"] {
        assert_eq!(violation(&format!(r#"{{"double": "{other}"}}"#)).1, "must be a number");
    }
    assert_eq!(violation(r#"{"int32": "NaN"}"#).1, "must be an integer");
}

#[test]
fn a_boolean_is_not_a_string_or_a_number() {
    for other in ["\"true\"", "1", "[]"] {
        assert!(
            violation(&format!(r#"{{"flag": {other}}}"#))
                .1
                .starts_with("must be a boolean"),
            "{other}"
        );
    }
}

#[test]
fn an_enum_is_a_name_or_a_declared_number() {
    assert!(accepted(r#"{"color": 2}"#).contains(r#""color":"COLOR_BLUE""#));
    for other in ["3", "\"color_blue\"", "1.5", "true"] {
        assert_eq!(violation(&format!(r#"{{"color": {other}}}"#)).0, "$.color", "{other}");
    }
}

#[test]
fn null_is_a_value_only_where_the_field_has_it() {
    for nothing in ["time", "wrapped", "either", "mask", "structure", "counts", "any"] {
        assert_eq!(
            accepted(&format!(r#"{{"{nothing}": null}}"#)),
            accepted("{}"),
            "{nothing}"
        );
    }
    assert!(accepted(r#"{"value": null}"#).contains(r#""value":null"#));
    assert!(accepted(r#"{"list": [null]}"#).contains(r#""list":[null]"#));
    for place in [
        r#"{"tags": [null]}"#,
        r#"{"inners": [null]}"#,
        r#"{"counts": {"a": null}}"#,
    ] {
        assert!(violation(place).1.ends_with("not null"), "{place}");
    }
}

#[test]
fn the_key_of_a_map_has_one_spelling() {
    for key in ["1.0", "01", "+1", "1e0", "", "x", "9223372036854775808"] {
        let told = violation(&format!(r#"{{"byNumber": {{"{key}": {{}}}}}}"#)).1;
        assert!(told.starts_with("is not a key of this map"), "{key}: {told}");
    }
    assert_eq!(violation(r#"{"byFlag": {"True": 1}}"#).0, "$.byFlag.True");
    assert_eq!(
        violation(r#"{"counts": {"a": 1, "a": 2}}"#),
        ("$.counts.a".into(), "appears twice".into())
    );
    assert_eq!(
        violation(r#"{"structure": {"a": 1, "a": 2}}"#),
        ("$.structure.a".into(), "appears twice".into())
    );
}

#[test]
fn bytes_come_in_either_alphabet_of_base64() {
    for text in ["-_8", "-_8=", "+/8", "+/8="] {
        assert!(
            accepted(&format!(r#"{{"data": "{text}"}}"#)).contains(r#""data":"+/8=""#),
            "{text}"
        );
    }
    for text in ["+_8=", "a", "a b=", "####"] {
        assert_eq!(
            violation(&format!(r#"{{"data": "{text}"}}"#)).1,
            "must be base64",
            "{text}"
        );
    }
}

#[test]
fn a_field_mask_has_names_in_lower_camel_case() {
    assert!(accepted(r#"{"mask": "displayName,inner.text"}"#).contains(r#""mask":"displayName,inner.text""#));
    for text in ["display_name", "a-b", "a b"] {
        assert_eq!(violation(&format!(r#"{{"mask": "{text}"}}"#)).0, "$.mask", "{text}");
    }
}

#[test]
fn an_any_names_a_type_that_is_known() {
    for any in [
        r#"{}"#,
        r#"{"@type":"type.googleapis.com/rich.Inner","text":"a","tags":[]}"#,
        r#"{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1.500s"}"#,
        r#"{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"a":[null]}}"#,
        r#"{"@type":"type.googleapis.com/google.protobuf.Any","value":{"@type":"x.example/rich.Inner","text":"","tags":[]}}"#,
    ] {
        let written = accepted(&format!(r#"{{"any": {any}}}"#));
        assert!(written.contains(&format!(r#""any":{any}"#)), "{any}: {written}");
    }
    for (any, field) in [
        (r#"{"text": "a"}"#, "$.any['@type']"),
        (r#"{"@type": "rich.Inner"}"#, "$.any['@type']"),
        (r#"{"@type": "x.example/rich.Nothing"}"#, "$.any['@type']"),
        (
            r#"{"@type": "x.example/rich.Inner", "@type": "x.example/rich.Inner"}"#,
            "$.any['@type']",
        ),
        (r#"{"@type": "x.example/rich.Inner", "text": 5}"#, "$.any.text"),
        (r#"{"@type": "x.example/rich.Inner", "value": {}}"#, "$.any.value"),
        (
            r#"{"@type": "x.example/google.protobuf.Duration", "value": "x"}"#,
            "$.any.value",
        ),
        (r#"{"@type": "x.example/google.protobuf.Duration"}"#, "$.any"),
    ] {
        assert_eq!(violation(&format!(r#"{{"any": {any}}}"#)).0, field, "{any}");
    }
}

#[test]
fn a_pair_of_surrogates_is_a_character_and_half_of_one_is_none() {
    assert!(accepted(r#"{"text": "\ud83d\ude00"}"#).contains('😀'));
    for half in ["\\ud83d", "\\ude00", "\\ud83d\\u0041", "\\ude00\\ud83d"] {
        assert_eq!(violation(&format!(r#"{{"text": "{half}"}}"#)).0, "$.text", "{half}");
    }
}

#[test]
fn the_number_of_values_is_bounded() {
    let many = format!("{{\"tags\": [{}\"\"]}}", "\"\",".repeat(MOST_VALUES));
    assert!(violation(&many).1.contains("more than 100000 values"));
    let spread = format!("{{\"list\": [{}[]]}}", format!("[{}1],", "1,".repeat(999)).repeat(101));
    assert!(
        violations(&spread)
            .iter()
            .all(|(_, problem)| problem.contains("more than 100000 values"))
    );
}

#[test]
fn what_the_path_says_may_be_repeated_and_not_contradicted() {
    let pool = rich_pool();
    let path = |name: &str| FieldPath::resolve(&rich(&pool), name).unwrap();
    let said = [
        (path("int32"), Value::I32(0)),
        (path("inner.text"), Value::String("a".into())),
    ];
    let context = Context {
        raw_json: &RawJsonFields::default(),
        said: &said,
    };
    let read = |text: &str| read(text.as_bytes(), &rich(&pool), context);
    assert!(
        read(
            r#"{"int32": 0, "inner": {"text": "a", "tags": ["x"], "inner": {"text": "b"}}, "inners": [{"text": "c"}]}"#
        )
        .is_ok()
    );
    let Err(Unreadable::Invalid(told)) = read(r#"{"int32": 1, "inner": {"text": ""}}"#) else {
        panic!("both contradict the path");
    };
    let told: Vec<_> = told
        .iter()
        .map(|told| format!("{} {}", told.field, told.message))
        .collect();
    assert_eq!(
        told,
        [
            "$.int32 is not what the path says",
            "$.inner.text is not what the path says"
        ]
    );
}
