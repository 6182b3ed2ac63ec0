//! Messages of descriptors that are made up, with every kind of field, alone, optional, repeated, in a map and in a oneof; and
//! of every message that Voltgate's own RPCs and events have.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};

use crate::json::any::{self, Packed};
use crate::json::{Context, Layouts, RawJsonFields, WellKnown, read, write, write_encoded};
use crate::test_protos;

const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32",
    "sfixed64", "bool", "string", "bytes",
];

const MESSAGES: [&str; 19] = [
    "Color",
    "Made",
    "google.protobuf.NullValue",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.protobuf.FieldMask",
    "google.protobuf.Struct",
    "google.protobuf.Value",
    "google.protobuf.ListValue",
    "google.protobuf.Any",
    "google.protobuf.DoubleValue",
    "google.protobuf.FloatValue",
    "google.protobuf.Int64Value",
    "google.protobuf.UInt64Value",
    "google.protobuf.Int32Value",
    "google.protobuf.UInt32Value",
    "google.protobuf.BoolValue",
    "google.protobuf.StringValue",
    "google.protobuf.BytesValue",
];

const KEYS: [&str; 12] = [
    "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64", "bool",
    "string",
];

/// Fields that hold a document. None of those that are made up does.
static RAW: LazyLock<RawJsonFields> = LazyLock::new(|| RawJsonFields::from_descriptors(voltgate_proto::pool()));

/// How deep messages within messages are made.
const DEEPEST: usize = 3;

fn type_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select([&SCALARS[..], &MESSAGES[..]].concat())
}

/// A field declaration, less its name and number.
fn declaration() -> impl Strategy<Value = String> {
    prop_oneof![
        type_name().prop_map(str::to_owned),
        type_name().prop_map(|name| format!("optional {name}")),
        type_name().prop_map(|name| format!("repeated {name}")),
        (prop::sample::select(&KEYS[..]), type_name()).prop_map(|(key, value)| format!("map<{key}, {value}>")),
    ]
}

/// A message type with some fields and a oneof.
fn descriptor() -> impl Strategy<Value = MessageDescriptor> {
    let fields = prop::collection::vec(declaration(), 1..8);
    let choices = prop::collection::vec(type_name(), 1..4);
    (fields, choices).prop_map(|(fields, choices)| {
        let lines = |from: usize, declarations: Vec<String>| {
            let numbered = declarations.into_iter().enumerate();
            numbered
                .map(|(index, declaration)| format!("{declaration} field_{0} = {0};", from + index))
                .collect::<String>()
        };
        let choices = lines(100, choices.into_iter().map(str::to_owned).collect());
        let source = format!(
            r#"syntax = "proto3"; package made;
            import "google/protobuf/any.proto"; import "google/protobuf/duration.proto";
            import "google/protobuf/field_mask.proto"; import "google/protobuf/struct.proto";
            import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
            message Plain {{ string text = 1; repeated int32 numbers = 2; optional Plain inner = 3; }}
            enum Color {{ COLOR_UNSPECIFIED = 0; COLOR_RED = 1; COLOR_BLUE = -7; }}
            message Made {{ {} oneof choice {{ {choices} }} }}"#,
            lines(1, fields),
        );
        test_protos::compile(&source)
            .get_message_by_name("made.Made")
            .expect("it is declared")
    })
}

fn message(descriptor: &MessageDescriptor, depth: usize) -> BoxedStrategy<DynamicMessage> {
    match WellKnown::of(descriptor) {
        Some(WellKnown::Timestamp) => seconds(descriptor, -62_135_596_800..=253_402_300_799, false),
        Some(WellKnown::Duration) => seconds(descriptor, -315_576_000_000..=315_576_000_000, true),
        Some(WellKnown::FieldMask) => {
            let descriptor = descriptor.clone();
            prop::collection::vec("[a-z]{1,4}(_[a-z]{1,3}){0,2}(\\.[a-z]{1,4}){0,2}", 0..3)
                .prop_map(move |paths| {
                    with(
                        &descriptor,
                        1,
                        Value::List(paths.into_iter().map(Value::String).collect()),
                    )
                })
                .boxed()
        }
        Some(WellKnown::Value) => json_value(descriptor, depth),
        Some(WellKnown::Any) => any_message(descriptor, depth),
        Some(WellKnown::Wrapper | WellKnown::Struct | WellKnown::ListValue) | None => fields(descriptor, depth),
    }
}

/// Any of the fields, and at most one of each oneof.
fn fields(descriptor: &MessageDescriptor, depth: usize) -> BoxedStrategy<DynamicMessage> {
    let values: Vec<_> = descriptor
        .fields()
        .map(|field| prop::option::of(field_value(&field, depth)).prop_map(move |value| (field.clone(), value)))
        .collect();
    let descriptor = descriptor.clone();
    values
        .prop_map(move |values| {
            let mut message = DynamicMessage::new(descriptor.clone());
            for (field, value) in values {
                // Setting one of a oneof clears the one before.
                if let Some(value) = value {
                    message.set_field(&field, value);
                }
            }
            message
        })
        .boxed()
}

fn field_value(field: &FieldDescriptor, depth: usize) -> BoxedStrategy<Value> {
    if RAW.contains(field) {
        return super::any_json()
            .prop_map(|json| Value::String(json.to_string()))
            .boxed();
    }
    let most = if depth == 0 { 1 } else { 4 };
    let kind = field.kind();
    match kind.as_message() {
        Some(entry) if field.is_map() => {
            let key = single(&entry.map_entry_key_field().kind(), depth);
            let value = single(&entry.map_entry_value_field().kind(), depth);
            prop::collection::vec((key, value), 0..most)
                .prop_map(|entries| {
                    let entries = entries
                        .into_iter()
                        .map(|(key, value)| (key.into_map_key().expect("a key"), value));
                    Value::Map(entries.collect::<HashMap<MapKey, Value>>())
                })
                .boxed()
        }
        _ if field.is_list() => prop::collection::vec(single(&kind, depth), 0..most)
            .prop_map(Value::List)
            .boxed(),
        _ => single(&kind, depth),
    }
}

fn single(kind: &Kind, depth: usize) -> BoxedStrategy<Value> {
    match kind {
        // NaN is not equal to itself; it has a test of its own.
        Kind::Double => any::<f64>()
            .prop_filter("not NaN", |value| !value.is_nan())
            .prop_map(Value::F64)
            .boxed(),
        Kind::Float => any::<f32>()
            .prop_filter("not NaN", |value| !value.is_nan())
            .prop_map(Value::F32)
            .boxed(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => any::<i32>().prop_map(Value::I32).boxed(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => any::<i64>().prop_map(Value::I64).boxed(),
        Kind::Uint32 | Kind::Fixed32 => any::<u32>().prop_map(Value::U32).boxed(),
        Kind::Uint64 | Kind::Fixed64 => any::<u64>().prop_map(Value::U64).boxed(),
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::String => any::<String>().prop_map(Value::String).boxed(),
        Kind::Bytes => prop::collection::vec(any::<u8>(), 0..20)
            .prop_map(|bytes| Value::Bytes(bytes.into()))
            .boxed(),
        Kind::Enum(descriptor) => {
            let numbers: Vec<_> = descriptor.values().map(|value| value.number()).collect();
            prop::sample::select(numbers).prop_map(Value::EnumNumber).boxed()
        }
        Kind::Message(descriptor) if depth == 0 => Just(Value::Message(smallest(descriptor))).boxed(),
        Kind::Message(descriptor) => message(descriptor, depth - 1).prop_map(Value::Message).boxed(),
    }
}

/// A message that needs none within it. A google.protobuf.Value must hold something.
fn smallest(descriptor: &MessageDescriptor) -> DynamicMessage {
    match WellKnown::of(descriptor) {
        Some(WellKnown::Value) => with(descriptor, 1, Value::EnumNumber(0)),
        _ => DynamicMessage::new(descriptor.clone()),
    }
}

fn json_value(descriptor: &MessageDescriptor, depth: usize) -> BoxedStrategy<DynamicMessage> {
    let kinds = descriptor.fields().map(|field| {
        let descriptor = descriptor.clone();
        let number = field.number();
        field_value(&field, depth)
            .prop_filter("JSON has it", |value| value.as_f64().is_none_or(f64::is_finite))
            .prop_map(move |value| with(&descriptor, number, value))
            .boxed()
    });
    proptest::strategy::Union::new(kinds).boxed()
}

fn any_message(descriptor: &MessageDescriptor, depth: usize) -> BoxedStrategy<DynamicMessage> {
    // None with a map in it: the bytes of one message with two entries may be in either order.
    let known = [
        "made.Plain",
        "google.protobuf.Duration",
        "google.protobuf.FieldMask",
        "google.protobuf.Int64Value",
        "google.protobuf.Any",
    ];
    let pool = descriptor.parent_pool().clone();
    let imported = known
        .iter()
        .filter_map(|name| Some((*name, pool.get_message_by_name(name)?)));
    let packed = imported.map(|(name, inner)| {
        let any = descriptor.clone();
        let inner = if depth == 0 {
            Just(smallest(&inner)).boxed()
        } else {
            message(&inner, depth - 1)
        };
        inner
            .prop_map(move |message| {
                any::pack(
                    &any,
                    Packed {
                        type_url: format!("type.googleapis.com/{name}"),
                        message: over_the_wire(&message),
                    },
                )
            })
            .boxed()
    });
    proptest::strategy::Union::new(packed).boxed()
}

fn seconds(
    descriptor: &MessageDescriptor,
    range: std::ops::RangeInclusive<i64>,
    signed: bool,
) -> BoxedStrategy<DynamicMessage> {
    let descriptor = descriptor.clone();
    let nanos = prop_oneof![Just(0), Just(500_000_000), Just(1_000), 0..1_000_000_000];
    (range, nanos)
        .prop_map(move |(seconds, nanos)| {
            let mut message = with(&descriptor, 1, Value::I64(seconds));
            let sign = if signed && seconds < 0 { -1 } else { 1 };
            message.set_field_by_number(2, Value::I32(nanos * sign));
            message
        })
        .boxed()
}

fn with(descriptor: &MessageDescriptor, number: u32, value: Value) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    message.set_field_by_number(number, value);
    message
}

/// As a service gets it. Whether a field without presence was set to its default makes no difference there.
fn over_the_wire(message: &DynamicMessage) -> DynamicMessage {
    DynamicMessage::decode(message.descriptor(), message.encode_to_vec().as_slice()).expect("it was encoded")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn protobuf_to_json_to_protobuf_is_the_identity(
        original in descriptor().prop_flat_map(|descriptor| message(&descriptor, DEEPEST)),
    ) {
        comes_back(&original)?;
    }

    #[test]
    fn bytes_that_nobody_should_send_are_written_straight_only_as_they_are_read_otherwise(
        (descriptor, bytes) in descriptor().prop_flat_map(|descriptor| {
            let bytes = unusual(&descriptor);
            (Just(descriptor), bytes)
        }),
    ) {
        let layouts = Layouts::of([descriptor.clone()], &RAW);
        if let Some(straight) = write_encoded(&layouts, &descriptor, &bytes) {
            let message = DynamicMessage::decode(descriptor, bytes.as_slice());
            let message = message.map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(straight, write(&message, None, &RAW).unwrap());
        }
    }
}

/// The encoding of a message after something happened to it.
fn unusual(descriptor: &MessageDescriptor) -> impl Strategy<Value = Vec<u8>> + use<> {
    let encoded = || message(descriptor, DEEPEST).prop_map(|message| message.encode_to_vec());
    // A number that no field here has, with each kind of payload.
    let of_a_newer_version = prop::sample::select(vec![
        vec![0xf8, 0x7f, 1],
        vec![0xf9, 0x7f, 1, 2, 3, 4, 5, 6, 7, 8],
        vec![0xfa, 0x7f, 2, 8, 1],
        vec![0xfd, 0x7f, 1, 2, 3, 4],
    ]);
    prop_oneof![
        (encoded(), encoded()).prop_map(|(first, second)| [first, second].concat()),
        (encoded(), of_a_newer_version).prop_map(|(known, unknown)| [unknown.clone(), known, unknown].concat()),
        (encoded(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, place, byte)| {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            bytes
        }),
        (encoded(), any::<prop::sample::Index>()).prop_map(|(mut bytes, place)| {
            bytes.truncate(place.index(bytes.len() + 1));
            bytes
        }),
    ]
}

/// A field that holds a document always has one; where it has none, that is `null`.
fn fill_documents(message: &mut DynamicMessage) {
    for field in message.descriptor().fields() {
        if RAW.contains(&field) && !field.supports_presence() && !message.has_field(&field) {
            message.set_field(&field, Value::String("null".to_owned()));
        } else if message.has_field(&field) {
            fill_documents_within(message.get_field_mut(&field));
        }
    }
}

fn fill_documents_within(value: &mut Value) {
    match value {
        Value::Message(message) => fill_documents(message),
        Value::List(values) => values.iter_mut().for_each(fill_documents_within),
        Value::Map(entries) => entries.values_mut().for_each(fill_documents_within),
        _ => {}
    }
}

fn comes_back(original: &DynamicMessage) -> Result<(), TestCaseError> {
    let mut original = over_the_wire(original);
    fill_documents(&mut original);
    let text = write(&original, None, &RAW).unwrap();
    let told = || String::from_utf8_lossy(&text).into_owned();
    straight_is_the_same(&original, &text)?;
    let read_back = read(&text, &original.descriptor(), Context::alone(&RAW))
        .map_err(|why| TestCaseError::fail(format!("{}: {why:?}", told())))?;
    prop_assert!(over_the_wire(&read_back) == original, "{}", told());
    // What was written is written the same again.
    prop_assert_eq!(write(&read_back, None, &RAW).unwrap(), text);
    Ok(())
}

/// Written straight from its encoding a message is the same text, where that can be done at all.
fn straight_is_the_same(message: &DynamicMessage, text: &[u8]) -> Result<(), TestCaseError> {
    let layouts = Layouts::of([message.descriptor()], &RAW);
    let straight = write_encoded(&layouts, &message.descriptor(), &message.encode_to_vec());
    prop_assert!(straight.is_some() || !layouts.are_whole(), "nothing in it is rare");
    if let Some(straight) = straight {
        prop_assert_eq!(String::from_utf8_lossy(&straight), String::from_utf8_lossy(text));
    }
    Ok(())
}

#[test]
fn every_message_of_voltgate_comes_back_as_it_was() {
    let pool = voltgate_proto::pool();
    let own = |descriptor: &MessageDescriptor| descriptor.package_name().starts_with("voltgate.");
    let (mut messages, mut seen) = (0, HashSet::new());
    let methods: Vec<_> = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect();
    let spoken = methods.iter().flat_map(|method| [method.input(), method.output()]);
    for descriptor in spoken.chain(pool.all_messages().filter(own)) {
        if descriptor.is_map_entry() || !seen.insert(descriptor.full_name().to_owned()) {
            continue;
        }
        let config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(32)
        };
        let mut runner = TestRunner::new(config);
        let outcome = runner.run(&message(&descriptor, DEEPEST), |original| comes_back(&original));
        if let Err(failed) = outcome {
            panic!("{}: {failed}", descriptor.full_name());
        }
        messages += 1;
    }
    assert!(messages > 60, "{messages}");
}
