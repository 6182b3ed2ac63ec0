//! Writes an encoded message as JSON straight from its bytes, by its layout: the same text as `write` makes of the decoded message, without
//! a value in memory for each field. Where it meets something that layouts do not know, or that is wrong, it gives up, and
//! `write` has to see to it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::MessageDescriptor;
use serde_json::value::RawValue;

use super::layout::{Field, Form, Layout, Layouts, Shape};
use super::time;
use super::wire::{Payload, Wire, zigzag};
use super::write::name_of;

/// Messages nest no deeper than this here.
const DEEPEST: usize = 32;

/// JSON is longer than protobuf, about so many times: room that is made beforehand, for as much as these bytes become. Large answers may be
/// texts, which stay as long as they are, and their room is kept until their client has read them.
const GROWTH: usize = 4;
const SMALL: usize = 16 * 1024;

/// The message in `encoded` as JSON; nothing where that is left to others.
pub fn write_encoded(layouts: &Layouts, message: &MessageDescriptor, encoded: &[u8]) -> Option<Vec<u8>> {
    let layout = layouts.get(message)?;
    let mut writer = Writer {
        layouts,
        out: Vec::with_capacity(GROWTH * encoded.len().min(SMALL) + 128),
        found: Vec::new(),
        depth: 0,
    };
    writer.message(layout, encoded)?;
    Some(writer.out)
}

struct Writer<'l, 'b> {
    layouts: &'l Layouts,
    out: Vec<u8>,
    /// What there is of each field of the messages that are being written, the innermost last.
    found: Vec<Found<'b>>,
    depth: usize,
}

/// What a message has of one field.
#[derive(Clone, Copy, Debug, Default)]
struct Found<'b> {
    last: Option<Payload<'b>>,
    times: usize,
    /// The message from the first one on.
    from: &'b [u8],
}

impl<'b> Writer<'_, 'b> {
    fn message(&mut self, layout: &Layout, encoded: &'b [u8]) -> Option<()> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        let base = self.found.len();
        self.found.resize(base + layout.fields.len(), Found::default());
        self.find(layout, encoded, base)?;
        self.out.push(b'{');
        let mut first = true;
        for (index, field) in layout.fields.iter().enumerate() {
            let found = self.found[base + index];
            if field.shape == Shape::Optional && found.times == 0 {
                continue;
            }
            self.separate(&mut first);
            self.out.extend_from_slice(field.key.as_bytes());
            self.field(field, found)?;
        }
        self.out.push(b'}');
        self.found.truncate(base);
        self.depth -= 1;
        Some(())
    }

    /// Looks through the message once. Fields that this version does not know are passed over.
    fn find(&mut self, layout: &Layout, encoded: &'b [u8], base: usize) -> Option<()> {
        let mut wire = Wire(encoded);
        // They come in the order of their numbers from nearly everybody.
        let mut index = 0;
        while !wire.is_empty() {
            let here = wire.0;
            let (number, payload) = wire.field()?;
            if layout.fields.get(index).is_none_or(|field| field.number != number) {
                match layout.fields.binary_search_by_key(&number, |field| field.number) {
                    Ok(place) => index = place,
                    Err(_) => continue,
                }
            }
            let is_list = layout.fields[index].shape == Shape::List;
            let found = &mut self.found[base + index];
            match found.times {
                0 => found.from = here,
                // Nobody writes a field twice. What of it counts, and what of it may be wrong, others know.
                _ if !is_list => return None,
                _ => {}
            }
            found.times += 1;
            found.last = Some(payload);
            if !is_list {
                index += 1;
            }
        }
        Some(())
    }

    fn field(&mut self, field: &Field, found: Found<'b>) -> Option<()> {
        match (field.shape, found.last) {
            (Shape::List, _) => {
                self.out.push(b'[');
                self.elements(field, found)?;
                self.out.push(b']');
                Some(())
            }
            (Shape::Map, None) => {
                self.out.extend_from_slice(b"{}");
                Some(())
            }
            (Shape::Map, Some(_)) => None,
            (Shape::Optional | Shape::Always, Some(payload)) => self.value(&field.form, payload),
            (Shape::Optional | Shape::Always, None) => self.default(&field.form),
        }
    }

    fn elements(&mut self, field: &Field, found: Found<'b>) -> Option<()> {
        let mut wire = Wire(found.from);
        let (mut left, mut first) = (found.times, true);
        while left > 0 {
            let (number, payload) = wire.field()?;
            if number != field.number {
                continue;
            }
            left -= 1;
            match payload {
                Payload::Bytes(bytes) if field.form.is_packed_in_bytes() => {
                    let mut packed = Wire(bytes);
                    while !packed.is_empty() {
                        let payload = field.form.packed(&mut packed)?;
                        self.separate(&mut first);
                        self.value(&field.form, payload)?;
                    }
                }
                payload => {
                    self.separate(&mut first);
                    self.value(&field.form, payload)?;
                }
            }
        }
        Some(())
    }

    #[allow(clippy::cast_possible_truncation)] // As protobuf has it: the lowest bits count.
    fn value(&mut self, form: &Form, payload: Payload<'b>) -> Option<()> {
        match (form, payload) {
            (Form::Bool, Payload::Varint(bits)) => {
                self.out.extend_from_slice(if bits == 0 { b"false" } else { b"true" });
                Some(())
            }
            (Form::Int32, Payload::Varint(bits)) => self.json(&(bits as i32)),
            (Form::Uint32, Payload::Varint(bits)) => self.json(&(bits as u32)),
            (Form::Sint32, Payload::Varint(bits)) => self.json(&(zigzag(u64::from(bits as u32)) as i32)),
            (Form::Fixed32, Payload::Fixed32(bits)) => self.json(&bits),
            (Form::Sfixed32, Payload::Fixed32(bits)) => self.json(&bits.cast_signed()),
            // As strings: a client that reads numbers as floating point would lose digits.
            (Form::Int64, Payload::Varint(bits)) => self.quoted(&bits.cast_signed()),
            (Form::Uint64, Payload::Varint(bits)) => self.quoted(&bits),
            (Form::Sint64, Payload::Varint(bits)) => self.quoted(&zigzag(bits)),
            (Form::Fixed64, Payload::Fixed64(bits)) => self.quoted(&bits),
            (Form::Sfixed64, Payload::Fixed64(bits)) => self.quoted(&bits.cast_signed()),
            (Form::Float, Payload::Fixed32(bits)) => {
                let number = f32::from_bits(bits);
                if number.is_finite() {
                    self.json(&number)
                } else {
                    self.json(name_of(number.into()))
                }
            }
            (Form::Double, Payload::Fixed64(bits)) => {
                let number = f64::from_bits(bits);
                if number.is_finite() {
                    self.json(&number)
                } else {
                    self.json(name_of(number))
                }
            }
            (Form::String, Payload::Bytes(bytes)) => self.json(std::str::from_utf8(bytes).ok()?),
            (Form::Bytes, Payload::Bytes(bytes)) => self.json(&STANDARD.encode(bytes)),
            (Form::Document, Payload::Bytes([])) => self.default(form),
            (Form::Document, Payload::Bytes(bytes)) => {
                serde_json::from_slice::<&RawValue>(bytes).ok()?;
                self.out.extend_from_slice(bytes);
                Some(())
            }
            (Form::Enum(names), Payload::Varint(bits)) => self.enumeration(names, bits as i32),
            (Form::Timestamp, Payload::Bytes(bytes)) => self.timestamp(bytes),
            (Form::Message(place), Payload::Bytes(bytes)) => {
                let layouts = self.layouts;
                self.message(layouts.at(*place), bytes)
            }
            _ => None,
        }
    }

    /// What is written of a field that has no value, and no presence either.
    fn default(&mut self, form: &Form) -> Option<()> {
        let text = match form {
            Form::Bool => "false",
            Form::Int32 | Form::Uint32 | Form::Sint32 | Form::Fixed32 | Form::Sfixed32 => "0",
            Form::Int64 | Form::Uint64 | Form::Sint64 | Form::Fixed64 | Form::Sfixed64 => "\"0\"",
            Form::Float | Form::Double => "0.0",
            Form::String | Form::Bytes => "\"\"",
            Form::Document => "null",
            Form::Enum(names) => return self.enumeration(names, 0),
            Form::Timestamp | Form::Message(_) | Form::Other => return None,
        };
        self.out.extend_from_slice(text.as_bytes());
        Some(())
    }

    fn enumeration(&mut self, names: &[(i32, Box<str>)], number: i32) -> Option<()> {
        match names.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => {
                self.out.extend_from_slice(names[place].1.as_bytes());
                Some(())
            }
            // A newer service may know more names.
            Err(_) => self.json(&number),
        }
    }

    #[allow(clippy::cast_possible_truncation)] // As protobuf has it: the lowest bits count.
    fn timestamp(&mut self, encoded: &[u8]) -> Option<()> {
        let (mut seconds, mut nanos) = (0, 0);
        let mut wire = Wire(encoded);
        while !wire.is_empty() {
            match wire.field()? {
                (1, Payload::Varint(bits)) => seconds = bits.cast_signed(),
                (2, Payload::Varint(bits)) => nanos = bits as i32,
                (1 | 2, _) => return None,
                _ => {}
            }
        }
        self.out.push(b'"');
        time::append_timestamp(seconds, nanos, &mut self.out)?;
        self.out.push(b'"');
        Some(())
    }

    fn separate(&mut self, first: &mut bool) {
        if !std::mem::take(first) {
            self.out.push(b',');
        }
    }

    fn json(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Option<()> {
        serde_json::to_writer(&mut self.out, value).ok()
    }

    fn quoted(&mut self, number: &impl serde::Serialize) -> Option<()> {
        self.out.push(b'"');
        self.json(number)?;
        self.out.push(b'"');
        Some(())
    }
}

impl Form {
    /// Whether several values may come as one payload.
    fn is_packed_in_bytes(&self) -> bool {
        !matches!(
            self,
            Self::String | Self::Bytes | Self::Document | Self::Timestamp | Self::Message(_) | Self::Other
        )
    }

    /// The next of such values.
    fn packed<'b>(&self, wire: &mut Wire<'b>) -> Option<Payload<'b>> {
        match self {
            Self::Fixed32 | Self::Sfixed32 | Self::Float => wire.fixed32().map(Payload::Fixed32),
            Self::Fixed64 | Self::Sfixed64 | Self::Double => wire.fixed64().map(Payload::Fixed64),
            _ => wire.varint().map(Payload::Varint),
        }
    }
}

#[cfg(test)]
mod tests;
