//! `google.protobuf.Any`: a message of a type that it names itself, which the descriptors must know.

use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};

/// The member of the JSON form that holds the type's URL.
pub const TYPE: &str = "@type";
/// The member that holds a message whose own JSON form is no object.
pub const VALUE: &str = "value";

const TYPE_URL: u32 = 1;
const BYTES: u32 = 2;

/// A message with the type URL under which it was packed.
#[derive(Debug)]
pub struct Packed {
    pub type_url: String,
    pub message: DynamicMessage,
}

/// The type that a URL such as `type.googleapis.com/google.protobuf.Duration` names.
pub fn type_of(any: &MessageDescriptor, type_url: &str) -> Option<MessageDescriptor> {
    let (_, name) = type_url.rsplit_once('/')?;
    any.parent_pool().get_message_by_name(name)
}

/// The message in an Any; nothing in an empty one.
///
/// # Errors
/// Its type is unknown, or its bytes are not of that type.
pub fn unpack(any: &DynamicMessage) -> Result<Option<Packed>, &'static str> {
    let type_url = any.get_field_by_number(TYPE_URL);
    let type_url = type_url.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
    let bytes = any.get_field_by_number(BYTES);
    let bytes = bytes
        .as_ref()
        .and_then(|value| value.as_bytes())
        .cloned()
        .unwrap_or_default();
    if type_url.is_empty() && bytes.is_empty() {
        return Ok(None);
    }
    let descriptor = type_of(&any.descriptor(), type_url).ok_or("its type is not known here")?;
    let message = DynamicMessage::decode(descriptor, bytes).map_err(|_| "its bytes are not of its type")?;
    Ok(Some(Packed {
        type_url: type_url.to_owned(),
        message,
    }))
}

/// An Any that holds the message.
pub fn pack(any: &MessageDescriptor, packed: Packed) -> DynamicMessage {
    let mut message = DynamicMessage::new(any.clone());
    message.set_field_by_number(TYPE_URL, Value::String(packed.type_url));
    message.set_field_by_number(BYTES, Value::Bytes(packed.message.encode_to_vec().into()));
    message
}
