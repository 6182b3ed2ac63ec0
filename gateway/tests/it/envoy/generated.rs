//! Requests that nobody thought of. They keep away from what `differences.txt` says: no unknown names, no name twice,
//! and every list a list.

use std::cell::RefCell;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use proptest::strategy::Union;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::both::{Ask, Both, CONTRACT};
use super::{case, is_sound};

const CASES: u32 = 400;

/// How deep messages lie in one another.
const DEEPEST: usize = 3;

#[test]
fn any_body_means_the_same_to_both() {
    let things = prop_oneof![
        Just(("POST", "/body".to_owned())),
        segment().prop_map(|text| ("PUT", format!("/body/{text}"))),
    ];
    // The path fills `text` of a PUT, so its body must not.
    run(&(things, message(&rich(), 0)).prop_map(|((method, target), mut body)| {
        if method == "PUT" {
            body.as_object_mut().unwrap().remove("text");
        }
        Ask::new(method, target, body.to_string())
    }));
}

#[test]
fn any_query_means_the_same_to_both() {
    run(&parameters().prop_map(|query| Ask::new("GET", format!("/query?{query}"), "")));
}

#[test]
fn any_path_means_the_same_to_both() {
    let of_kind = |name: &'static str| {
        let field = rich().get_field_by_name(name).unwrap();
        text_of(&field).prop_map(move |text| format!("/path/{name}/{}", encode(&text)))
    };
    let names = [
        "text", "flag", "int32", "int64", "uint32", "uint64", "float", "double", "data", "color",
    ];
    let single = Union::new(names.map(|name| of_kind(name).boxed()));
    let nested = (segment(), any::<i32>()).prop_map(|(text, number)| format!("/path/nested/{text}/and/{number}"));
    let two = (segment(), segment()).prop_map(|(first, second)| format!("/path/{first}/then/{second}"));
    // An empty segment is no segment.
    let paths =
        prop_oneof![4 => single, 1 => nested, 1 => two].prop_filter("has a segment", |path| !path.ends_with('/'));
    run(&paths.prop_map(|path| Ask::new("GET", path, "")));
}

/// Asks both what the strategy makes up. The seed is printed, and taken from `VOLTGATE_SEED` to see the same again.
fn run(asks: &impl Strategy<Value = Ask>) {
    let seed: u64 = std::env::var("VOLTGATE_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    eprintln!("VOLTGATE_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let both = RefCell::new(runtime.block_on(Both::start()));
    let result = TestRunner::new_with_rng(config, rng).run(asks, |ask| {
        let (envoy, ours) = runtime.block_on(both.borrow_mut().ask(&ask));
        prop_assert!(is_sound(&ours), "{}", case::show(&ask, &envoy, &ours));
        prop_assert!(envoy == ours, "{}", case::show(&ask, &envoy, &ours));
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, _)) => panic!("VOLTGATE_SEED={seed}: {why}"),
        Err(aborted) => panic!("{aborted}"),
    }
}

fn rich() -> MessageDescriptor {
    CONTRACT.1.get_message_by_name("contract.Rich").unwrap()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A segment of a path that is not empty.
fn segment() -> impl Strategy<Value = String> {
    "\\PC{1,8}".prop_map(|text| encode(&text))
}

/// A document for a message.
fn message(descriptor: &MessageDescriptor, depth: usize) -> BoxedStrategy<Value> {
    match descriptor.full_name().strip_prefix("google.protobuf.") {
        Some("Timestamp" | "Duration" | "FieldMask") => text_of_well_known(descriptor).prop_map(Value::from).boxed(),
        Some("Struct") => object(any_json()).boxed(),
        Some("Value") => any_json().boxed(),
        Some("ListValue") => prop::collection::vec(any_json(), 0..4).prop_map(Value::from).boxed(),
        Some(_) => single(&descriptor.get_field(1).unwrap(), depth),
        None => {
            let fields: Vec<_> = descriptor
                .fields()
                .filter(|field| depth < DEEPEST || !nests(field))
                .collect();
            let most = fields.len().min(6);
            let chosen = prop::sample::subsequence(fields, 0..=most);
            let filled =
                chosen.prop_flat_map(move |fields| fields.iter().map(|field| named(field, depth)).collect::<Vec<_>>());
            filled
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into())
                .boxed()
        }
    }
}

fn nests(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(message) if message.full_name() == "contract.Inner") || field.is_map()
}

fn named(field: &FieldDescriptor, depth: usize) -> impl Strategy<Value = (String, Value)> + use<> {
    let names = prop::sample::select(vec![field.json_name().to_owned(), field.name().to_owned()]);
    (names, prop_oneof![12 => value(field, depth), 1 => Just(Value::Null)])
}

fn value(field: &FieldDescriptor, depth: usize) -> BoxedStrategy<Value> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            unreachable!()
        };
        let value = single(&entry.map_entry_value_field(), depth);
        let key = match entry.map_entry_key_field().kind() {
            Kind::String => any::<String>().boxed(),
            Kind::Bool => any::<bool>().prop_map(|key| key.to_string()).boxed(),
            _ => any::<i64>().prop_map(|key| key.to_string()).boxed(),
        };
        return prop::collection::btree_map(key, value, 0..3)
            .prop_map(|entries| entries.into_iter().collect::<Map<_, _>>().into())
            .boxed();
    }
    if field.is_list() {
        return prop::collection::vec(single(field, depth), 0..4)
            .prop_map(Value::from)
            .boxed();
    }
    single(field, depth)
}

/// One value: mostly good, sometimes not.
fn single(field: &FieldDescriptor, depth: usize) -> BoxedStrategy<Value> {
    let good = match field.kind() {
        Kind::Message(descriptor) => return message(&descriptor, depth + 1),
        Kind::String => any::<String>().prop_map(Value::from).boxed(),
        Kind::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Bytes | Kind::Enum(_) => text_of(field).prop_map(Value::from).boxed(),
        Kind::Float => finite_float().prop_map(|number| json!(number)).boxed(),
        Kind::Double => finite_double().prop_map(|number| json!(number)).boxed(),
        _ => any::<i64>().prop_map(|number| json!(number >> (number & 63))).boxed(),
    };
    let text = text_of(field).prop_filter("is no boolean", |text| !matches!(text.as_str(), "true" | "false"));
    let odd = [json!(1.5), json!("é"), json!(true), json!(-1), json!(4_294_967_296_i64)];
    let bad = prop::sample::select(odd.to_vec());
    // Numbers of enums that are not declared, Envoy takes.
    let is_enum = matches!(field.kind(), Kind::Enum(_));
    let bad = bad.prop_filter("is a name", move |value| !(is_enum && value.is_number()));
    prop_oneof![8 => good, 2 => text.prop_map(Value::from), 1 => bad].boxed()
}

/// A value as it stands in a path, a query or a string: mostly good, sometimes not.
fn text_of(field: &FieldDescriptor) -> BoxedStrategy<String> {
    let good = match field.kind() {
        Kind::Message(descriptor) => return text_of_well_known(&descriptor),
        Kind::String => return any::<String>().boxed(),
        Kind::Bool => any::<bool>().prop_map(|value| value.to_string()).boxed(),
        Kind::Bytes => prop::collection::vec(any::<u8>(), 0..9)
            .prop_map(|bytes| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes))
            .boxed(),
        Kind::Enum(descriptor) => {
            let values = descriptor
                .values()
                .flat_map(|value| [value.name().to_owned(), value.number().to_string()]);
            prop::sample::select(values.collect::<Vec<_>>()).boxed()
        }
        Kind::Float => finite_float().prop_map(|number| number.to_string()).boxed(),
        Kind::Double => finite_double().prop_map(|number| number.to_string()).boxed(),
        _ => any::<i64>()
            .prop_map(|number| (number >> (number & 63)).to_string())
            .boxed(),
    };
    let bad = match field.kind() {
        Kind::Bytes => vec!["*", "A", "AQID="],
        _ => vec!["", "x", "1.5", "-", "NaN", "4294967296", "1 ", "é", "-1"],
    };
    let bad = prop::sample::select(bad);
    prop_oneof![9 => good, 1 => bad.prop_map(str::to_owned)].boxed()
}

fn text_of_well_known(descriptor: &MessageDescriptor) -> BoxedStrategy<String> {
    match descriptor.name() {
        "Timestamp" => (
            0..=9999_u32,
            1..=12_u32,
            1..=31_u32,
            0..=24_u32,
            0..=59_u32,
            fraction(),
            offset(),
        )
            .prop_map(|(year, month, day, hour, minute, fraction, offset)| {
                format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:07{fraction}{offset}")
            })
            .boxed(),
        "Duration" => (any::<bool>(), 0..400_000_000_000_u64, 0..39_u32, fraction())
            .prop_map(|(negative, seconds, smaller, fraction)| {
                format!("{}{}{fraction}s", if negative { "-" } else { "" }, seconds >> smaller)
            })
            .boxed(),
        "FieldMask" => "([a-z]{1,5}([A-Z][a-z]{1,3}){0,2}[,.]?){0,3}".boxed(),
        _ => text_of(&descriptor.get_field(1).unwrap()),
    }
}

fn fraction() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "\\.[0-9]{1,9}"]
}

fn offset() -> impl Strategy<Value = String> {
    prop_oneof![Just("Z".to_owned()), "[+-][01][0-9]:[0-5][0-9]"]
}

/// Finite, and not the zero with a sign.
fn finite_float() -> impl Strategy<Value = f32> {
    use proptest::num::f32::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL};
    NORMAL | SUBNORMAL | POSITIVE | NEGATIVE
}

fn finite_double() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL};
    NORMAL | SUBNORMAL | POSITIVE | NEGATIVE
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        finite_double().prop_map(|number| json!(number)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner)
        ]
    })
}

fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(any::<String>(), values, 0..4)
        .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into())
}

/// A query string in which single values stand once.
fn parameters() -> impl Strategy<Value = String> {
    let inner = CONTRACT.1.get_message_by_name("contract.Inner").unwrap();
    let rich = rich();
    let outer = rich.fields().map(|field| (String::new(), field));
    let nested = inner.fields().map(|field| ("inner.".to_owned(), field));
    let deep = inner.fields().map(|field| ("inner.inner.".to_owned(), field));
    let fields: Vec<_> = outer
        .chain(nested)
        .chain(deep)
        .filter(|(_, field)| fits_a_query(field))
        .collect();
    prop::sample::subsequence(fields, 0..8)
        .prop_flat_map(|fields| {
            fields
                .iter()
                .map(|(at, field)| parameter(at, field))
                .collect::<Vec<_>>()
        })
        .prop_map(|parameters| parameters.concat().join("&"))
}

fn fits_a_query(field: &FieldDescriptor) -> bool {
    let single_message = |message: &MessageDescriptor| {
        let name = message.full_name();
        name.starts_with("google.protobuf.") && !["Struct", "Value", "ListValue"].contains(&message.name())
    };
    // Two of one `oneof` we refuse together, and so does Envoy; what it does besides is another matter.
    let alone = field.containing_oneof().is_none_or(|oneof| oneof.fields().len() == 1);
    alone && !field.is_map() && field.kind().as_message().is_none_or(single_message)
}

fn parameter(at: &str, field: &FieldDescriptor) -> impl Strategy<Value = Vec<String>> + use<> {
    let count = if field.is_list() { 0..4 } else { 1..2 };
    let name = format!("{at}{}", field.json_name());
    prop::collection::vec(text_of(field), count)
        .prop_map(move |values| values.iter().map(|value| format!("{name}={}", encode(value))).collect())
}
