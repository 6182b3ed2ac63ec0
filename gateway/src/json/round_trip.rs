//! JSON → protobuf → JSON is the identity, for every kind of field; and so is the way there and back for every message of
//! every descriptor (`arbitrary`).

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use prost_reflect::DynamicMessage;
use serde_json::{Map, Value, json};

use super::rich::{rich, rich_pool};
use super::{Context, RawJsonFields, read, write};

mod arbitrary;

/// What an empty message is written as: every field without presence, and nothing else.
fn empty() -> Value {
    json!({
        "text": "", "displayName": "", "flag": false, "int32": 0, "int64": "0", "uint32": 0, "uint64": "0",
        "float": 0.0, "double": 0.0, "data": "", "color": "COLOR_UNSPECIFIED", "tags": [], "inners": [],
        "counts": {}, "byNumber": {}, "byFlag": {}, "raw": null, "doubles": [],
    })
}

fn parse_and_write(text: &str) -> String {
    let pool = rich_pool();
    let fields = RawJsonFields::from_descriptors(&pool);
    let message = read(text.as_bytes(), &rich(&pool), Context::alone(&fields)).unwrap();
    // Over the wire and back, as it goes through a service.
    let encoded = prost::Message::encode_to_vec(&message);
    let decoded = DynamicMessage::decode(rich(&pool), encoded.as_slice()).unwrap();
    String::from_utf8(write(&decoded, None, &fields).unwrap()).unwrap()
}

#[test]
fn fields_without_presence_are_always_written() {
    let written: Value = serde_json::from_str(&parse_and_write("{}")).unwrap();
    assert_eq!(written, empty());
}

#[test]
fn a_raw_document_comes_back_to_the_letter() {
    let written = parse_and_write(r#"{"raw": {"b":12.0, "a" : [1e400,-0] }}"#);
    assert!(written.contains(r#""raw":{"b":12.0, "a" : [1e400,-0] }"#), "{written}");
}

#[test]
fn an_answer_that_should_hold_json_and_does_not_is_never_passed_on() {
    let pool = rich_pool();
    let mut message = DynamicMessage::new(rich(&pool));
    message.set_field_by_name("raw", prost_reflect::Value::String("{".into()));
    assert!(write(&message, None, &RawJsonFields::from_descriptors(&pool)).is_err());
}

#[test]
fn a_number_that_json_does_not_have_is_written_only_where_the_reader_knows_the_type() {
    let pool = rich_pool();
    let mut value = DynamicMessage::new(pool.get_message_by_name("google.protobuf.Value").unwrap());
    value.set_field_by_name("number_value", prost_reflect::Value::F64(f64::NAN));
    let mut message = DynamicMessage::new(rich(&pool));
    message.set_field_by_name("double", prost_reflect::Value::F64(f64::NAN));
    let fields = RawJsonFields::default();
    assert!(
        String::from_utf8(write(&message, None, &fields).unwrap())
            .unwrap()
            .contains(r#""double":"NaN""#)
    );
    message.set_field_by_name("value", prost_reflect::Value::Message(value));
    assert!(write(&message, None, &fields).is_err());
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        finite().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

/// Numbers with a fraction: JSON writes whole ones in two ways, `1` and `1.0`.
fn finite() -> impl Strategy<Value = f64> {
    proptest::num::f64::NORMAL.prop_filter("has a fraction or an exponent", |number| number.fract() != 0.0)
}

fn any_json() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn inner() -> impl Strategy<Value = Value> {
    let strings = prop::collection::vec(any::<String>(), 0..3);
    (any::<String>(), strings).prop_map(|(text, tags)| json!({"text": text, "tags": tags}))
}

fn color() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE"]).prop_map(Value::from)
}

fn time() -> impl Strategy<Value = Value> {
    (-62_135_596_800_i64..=253_402_300_799, 0..1_000_000_000)
        .prop_map(|(seconds, nanos)| Value::from(super::time::write_timestamp(seconds, nanos).unwrap()))
}

fn span() -> impl Strategy<Value = Value> {
    (
        0..=315_576_000_000_i64,
        0..1_000_000_000,
        prop::sample::select(vec![-1_i64, 1]),
    )
        .prop_map(|(seconds, nanos, sign)| {
            let nanos = nanos * i32::try_from(sign).unwrap();
            Value::from(super::time::write_duration(seconds * sign, nanos).unwrap())
        })
}

/// One field with a value, in the form in which it is written.
fn field() -> impl Strategy<Value = (&'static str, Value)> {
    fn named<S: Strategy<Value = Value> + 'static>(
        name: &'static str,
        value: S,
    ) -> BoxedStrategy<(&'static str, Value)> {
        value.prop_map(move |value| (name, value)).boxed()
    }
    fn of<T: Into<Value> + std::fmt::Debug>(values: impl Strategy<Value = T>) -> impl Strategy<Value = Value> {
        values.prop_map(Into::into)
    }
    proptest::strategy::Union::new([
        named("text", of(any::<String>())),
        named("displayName", of(any::<String>())),
        named("nickname", of(any::<String>())),
        named("flag", of(any::<bool>())),
        named("int32", of(any::<i32>())),
        named("int64", of(any::<i64>().prop_map(|number| number.to_string()))),
        named("uint32", of(any::<u32>())),
        named("uint64", of(any::<u64>().prop_map(|number| number.to_string()))),
        named("double", of(finite())),
        named(
            "float",
            prop::sample::select(vec!["NaN", "Infinity", "-Infinity"]).prop_map(Value::from),
        ),
        named(
            "data",
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| {
                Value::from(base64::Engine::encode(
                    &base64::engine::general_purpose::STANDARD,
                    bytes,
                ))
            }),
        ),
        named("color", color()),
        named("inner", inner()),
        named("tags", of(prop::collection::vec(any::<String>(), 0..4))),
        named("inners", of(prop::collection::vec(inner(), 0..3))),
        named(
            "counts",
            prop::collection::btree_map(any::<String>(), any::<i32>(), 0..4).prop_map(|map| {
                map.into_iter()
                    .map(|(key, value)| (key, Value::from(value)))
                    .collect::<Map<_, _>>()
                    .into()
            }),
        ),
        named(
            "byNumber",
            prop::collection::btree_map(any::<i64>(), inner(), 0..3).prop_map(|map| {
                map.into_iter()
                    .map(|(key, value)| (key.to_string(), value))
                    .collect::<Map<_, _>>()
                    .into()
            }),
        ),
        named(
            "byFlag",
            prop::collection::btree_map(any::<bool>(), color(), 0..3).prop_map(|map| {
                map.into_iter()
                    .map(|(key, value)| (key.to_string(), value))
                    .collect::<Map<_, _>>()
                    .into()
            }),
        ),
        named("either", of(any::<String>())),
        named("time", time()),
        named("span", span()),
        named(
            "mask",
            prop::sample::select(vec!["", "displayName", "inner.text,byFlag"]).prop_map(Value::from),
        ),
        named(
            "structure",
            prop::collection::btree_map(any::<String>(), any_json(), 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ),
        named("value", any_json()),
        named("list", of(prop::collection::vec(any_json(), 0..4))),
        named("wrapped", of(any::<i64>().prop_map(|number| number.to_string()))),
        named("wrappedText", of(any::<String>())),
        named("raw", any_json()),
        named("doubles", of(prop::collection::vec(finite(), 0..4))),
    ])
}

/// Whether an answer with this field has a JSON form.
fn is_writable(name: &str, value: prost_reflect::Value) -> bool {
    let pool = rich_pool();
    let mut message = DynamicMessage::new(rich(&pool));
    message.set_field_by_name(name, value);
    write(&message, None, &RawJsonFields::default()).is_ok()
}

fn of_type(name: &str, fields: &[(u32, prost_reflect::Value)]) -> prost_reflect::Value {
    let mut message = DynamicMessage::new(rich_pool().get_message_by_name(name).unwrap());
    for (number, value) in fields {
        message.set_field_by_number(*number, value.clone());
    }
    prost_reflect::Value::Message(message)
}

#[test]
fn an_answer_that_json_cannot_say_is_refused() {
    use prost_reflect::Value;
    let mask = |path: &str| {
        of_type(
            "google.protobuf.FieldMask",
            &[(1, Value::List(vec![Value::String(path.into())]))],
        )
    };
    assert!(is_writable("mask", mask("display_name")));
    for path in ["displayName", "foo_3_bar", "foo__bar", "a_", "", "a,b"] {
        assert!(!is_writable("mask", mask(path)), "{path}");
    }
    let number = |number| of_type("google.protobuf.Value", &[(2, Value::F64(number))]);
    assert!(is_writable("value", number(1.5)));
    assert!(!is_writable("value", number(f64::NAN)));
    let any = |url: &str| of_type("google.protobuf.Any", &[(1, Value::String(url.into()))]);
    assert!(is_writable("any", any("x.example/rich.Inner")));
    assert!(!is_writable("any", any("x.example/rich.Nothing")));
    assert!(!is_writable(
        "time",
        of_type("google.protobuf.Timestamp", &[(2, Value::I32(-1))])
    ));
}

proptest! {
    #[test]
    fn json_to_protobuf_to_json_is_the_identity(fields in prop::collection::vec(field(), 0..8)) {
        let mut expected = empty();
        let mut document = Map::new();
        for (name, value) in fields {
            expected[name] = value.clone();
            document.insert(name.to_owned(), value);
        }
        let written = parse_and_write(&Value::Object(document).to_string());
        prop_assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<Vec<u8>>()) {
        let pool = rich_pool();
        let _outcome = read(&text, &rich(&pool), Context::alone(&RawJsonFields::default()));
    }
}
