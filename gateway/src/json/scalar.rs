//! Single values from text, as they stand in a path, a query, a map's key or a JSON string or number.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{EnumDescriptor, Kind, MapKey, Value};

use super::number;

/// What is wrong with a text; the rest of a sentence that starts with the field.
pub type Problem = String;

/// Reads a value of a kind that is not a message.
pub fn parse(kind: &Kind, text: &str) -> Result<Value, Problem> {
    let value = match kind {
        Kind::String => Value::String(text.to_owned()),
        Kind::Bytes => Value::Bytes(bytes(text)?.into()),
        Kind::Bool => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err("must be `true` or `false`".into()),
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number::integer(text)?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number::integer(text)?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number::integer(text)?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number::integer(text)?),
        Kind::Float => Value::F32(number::float(text)?),
        Kind::Double => Value::F64(number::double(text)?),
        Kind::Enum(descriptor) => Value::EnumNumber(enumeration(descriptor, text)?),
        Kind::Message(_) => return Err("must be an object".into()),
    };
    Ok(value)
}

/// The key of a map. It has one spelling only: `1` and not `1.0`, so that what looks like two keys is two.
pub fn key(kind: &Kind, text: &str) -> Result<MapKey, Problem> {
    let key = parse(kind, text)?.into_map_key().ok_or("cannot be a key")?;
    let canonical = match &key {
        MapKey::String(_) | MapKey::Bool(_) => true,
        MapKey::I32(number) => number.to_string() == text,
        MapKey::I64(number) => number.to_string() == text,
        MapKey::U32(number) => number.to_string() == text,
        MapKey::U64(number) => number.to_string() == text,
    };
    if canonical {
        Ok(key)
    } else {
        Err(number::NOT_AN_INTEGER.into())
    }
}

/// A value of an enum by its name, or by its number where that is declared.
pub fn enumeration(descriptor: &EnumDescriptor, text: &str) -> Result<i32, Problem> {
    let by_name = descriptor.get_value_by_name(text);
    let value = by_name.or_else(|| text.parse().ok().and_then(|number| descriptor.get_value(number)));
    value.map(|value| value.number()).ok_or_else(|| {
        let names: Vec<_> = descriptor.values().map(|value| format!("`{}`", value.name())).collect();
        format!("must be one of {}", names.join(", "))
    })
}

/// Base64 in either alphabet, with its padding or without; never in both alphabets at once.
fn bytes(text: &str) -> Result<Vec<u8>, Problem> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    engine.decode(text).map_err(|_| "must be base64".into())
}
