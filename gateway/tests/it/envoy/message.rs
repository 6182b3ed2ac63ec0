//! Messages and answers in a form in which they can be compared.

use prost_reflect::{DynamicMessage, Value as Field};
use serde_json::{Map, Value, json};

/// A message with every field that is present and no other, under the names of the proto.
pub fn show(message: &DynamicMessage) -> Value {
    let fields = message
        .fields()
        .map(|(field, value)| (field.name().to_owned(), value_of(value)));
    Value::Object(fields.collect())
}

fn value_of(value: &Field) -> Value {
    match value {
        Field::Bool(value) => json!(value),
        Field::I32(value) | Field::EnumNumber(value) => json!(value),
        Field::I64(value) => json!(value),
        Field::U32(value) => json!(value),
        Field::U64(value) => json!(value),
        Field::F32(value) => by_value(f64::from(*value)),
        Field::F64(value) => by_value(*value),
        Field::String(text) => json!(text),
        Field::Bytes(bytes) => json!(bytes.escape_ascii().to_string()),
        Field::Message(message) => show(message),
        Field::List(values) => values.iter().map(value_of).collect(),
        Field::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let key = value_of(&Field::from(key.clone()));
                (
                    key.as_str().map_or_else(|| key.to_string(), str::to_owned),
                    value_of(value),
                )
            });
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// An answer as a JSON value in which `1`, `1.0` and `1e0` are the same. What is not JSON, such as a file whose media
/// type says so, is text.
pub fn comparable(answer: &[u8]) -> Value {
    serde_json::from_slice(answer).map_or_else(|_| json!(String::from_utf8_lossy(answer)), number_by_value)
}

fn number_by_value(value: Value) -> Value {
    match value {
        Value::Number(number) => by_value(number.as_f64().expect("a number")),
        Value::Array(values) => values.into_iter().map(number_by_value).collect(),
        Value::Object(members) => members.into_iter().map(member_by_value).collect(),
        other => other,
    }
}

/// Envoy writes a `float` with nine digits, we write it with as many as tell it from its neighbours.
fn member_by_value((name, value): (String, Value)) -> (String, Value) {
    let value = match value.as_f64() {
        #[allow(clippy::cast_possible_truncation)]
        Some(number) if matches!(name.as_str(), "float" | "wrappedFloat") => by_value(f64::from(number as f32)),
        _ => number_by_value(value),
    };
    (name, value)
}

/// As text where JSON has no such number: NaN, the infinities and, by its sign, zero.
fn by_value(number: f64) -> Value {
    if number.is_finite() && !(number == 0.0 && number.is_sign_negative()) {
        json!(number)
    } else {
        json!(format!("{number:?}"))
    }
}
