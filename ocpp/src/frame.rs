//! The OCPP-J frame: a JSON array round every message.
//!
//! Parsing borrows from the text and copies nothing; the payload stays raw JSON. Elements after those that the specification
//! defines are ignored, like unknown fields in a payload. What a malformed frame leads to (an answer, a log line, nothing)
//! differs between versions and is the session's decision; [`MalformedFrame`] gives it the facts.

mod encode;
mod malformed;

use std::{borrow::Cow, fmt};

use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub use encode::{call, call_error, call_result};
pub use malformed::MalformedFrame;

use crate::json::{Cursor, Kind, Text, to_integer};

/// Room for a UUID in text (OCPP-J 4.1.4).
pub const MAX_MESSAGE_ID: usize = 36;

/// No action name is nearly as long. Longer ones are refused here, so that nobody has to store them.
const MAX_ACTION: usize = 64;

#[derive(Debug, Clone)]
pub enum Frame<'a> {
    Call(Call<'a>),
    CallResult(CallResult<'a>),
    CallError(CallError<'a>),
}

/// `[2, id, action, payload]`
#[derive(Debug, Clone)]
pub struct Call<'a> {
    pub id: Cow<'a, str>,
    pub action: Cow<'a, str>,
    /// An object, or `null`, which means an empty object in 1.6.
    pub payload: &'a RawValue,
}

/// `[3, id, payload]`
#[derive(Debug, Clone)]
pub struct CallResult<'a> {
    pub id: Cow<'a, str>,
    /// An object, or `null`, which means an empty object in 1.6.
    pub payload: &'a RawValue,
}

/// `[4, id, code, description, details]`. Stations forget the last two; they are empty then.
#[derive(Debug, Clone)]
pub struct CallError<'a> {
    pub id: Cow<'a, str>,
    /// As the station spelled it; see [`crate::ErrorCode::parse`].
    pub code: Cow<'a, str>,
    pub description: Cow<'a, str>,
    pub details: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    pub fn parse(text: &'a str) -> Result<Frame<'a>, MalformedFrame> {
        let elements = Elements::parse(text)?;
        let id = elements.message_id();
        let owned_id = || id.as_deref().map(str::to_owned);
        let Some(number) = elements.message_type() else {
            return Err(MalformedFrame::BadMessageType { message_id: owned_id() });
        };
        if !matches!(number, 2..=4) {
            return Err(MalformedFrame::UnknownMessageType {
                number,
                message_id: owned_id(),
            });
        }
        let Some(id) = id else {
            return Err(MalformedFrame::BadMessageId);
        };
        match number {
            2 => elements.call(id).map(Frame::Call),
            3 => elements.call_result(id).map(Frame::CallResult),
            _ => elements.call_error(id).map(Frame::CallError),
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Frame::Call(call) => &call.id,
            Frame::CallResult(result) => &result.id,
            Frame::CallError(error) => &error.id,
        }
    }
}

/// The first five elements of the array.
#[derive(Default)]
struct Elements<'a>([Option<&'a RawValue>; 5]);

impl<'a> Elements<'a> {
    fn parse(text: &'a str) -> Result<Elements<'a>, MalformedFrame> {
        let mut json = serde_json::Deserializer::from_str(text);
        match json
            .deserialize_seq(ElementsVisitor)
            .and_then(|elements| json.end().map(|()| elements))
        {
            Ok(elements) => Ok(elements),
            // serde_json stops at the first token where no array begins, and may not have seen that the rest is no JSON.
            Err(error) if error.is_data() && serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                Err(MalformedFrame::NotAnArray)
            }
            Err(_) => Err(MalformedFrame::NotJson),
        }
    }

    fn message_type(&self) -> Option<i64> {
        let json = self.0[0]?.get();
        (Cursor::new(json).kind() == Kind::Number).then(|| to_integer(json))?
    }

    fn message_id(&self) -> Option<Cow<'a, str>> {
        self.text(1)
            .filter(|id| !id.is_empty() && id.chars().count() <= MAX_MESSAGE_ID && !id.chars().any(char::is_control))
    }

    fn call(self, id: Cow<'a, str>) -> Result<Call<'a>, MalformedFrame> {
        let action = self
            .text(2)
            .filter(|action| !action.is_empty() && action.len() <= MAX_ACTION && !action.chars().any(char::is_control));
        let Some(action) = action else {
            return Err(MalformedFrame::BadAction {
                message_id: id.into_owned(),
            });
        };
        let Some(payload) = self.payload(3) else {
            return Err(MalformedFrame::BadCallPayload {
                message_id: id.into_owned(),
            });
        };
        Ok(Call { id, action, payload })
    }

    fn call_result(self, id: Cow<'a, str>) -> Result<CallResult<'a>, MalformedFrame> {
        let Some(payload) = self.payload(2) else {
            return Err(MalformedFrame::BadResultPayload {
                message_id: id.into_owned(),
            });
        };
        Ok(CallResult { id, payload })
    }

    fn call_error(self, id: Cow<'a, str>) -> Result<CallError<'a>, MalformedFrame> {
        let Some(code) = self.storable(2) else {
            return Err(MalformedFrame::BadErrorCode {
                message_id: id.into_owned(),
            });
        };
        Ok(CallError {
            id,
            code,
            description: self.storable(3).unwrap_or_default(),
            details: self.0[4],
        })
    }

    fn payload(&self, index: usize) -> Option<&'a RawValue> {
        self.0[index].filter(|value| matches!(Cursor::new(value.get()).kind(), Kind::Object | Kind::Null))
    }

    fn text(&self, index: usize) -> Option<Cow<'a, str>> {
        self.string(index).map(Text::decode)
    }

    fn storable(&self, index: usize) -> Option<Cow<'a, str>> {
        self.string(index).map(Text::storable)
    }

    fn string(&self, index: usize) -> Option<Text<'a>> {
        let json = self.0[index]?.get();
        (Cursor::new(json).kind() == Kind::Text).then(|| Text::quoted(json))
    }
}

struct ElementsVisitor;

impl<'a> Visitor<'a> for ElementsVisitor {
    type Value = Elements<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<Elements<'a>, A::Error> {
        let mut elements = Elements::default();
        for element in &mut elements.0 {
            *element = sequence.next_element()?;
            if element.is_none() {
                return Ok(elements);
            }
        }
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(elements)
    }
}

#[cfg(test)]
mod tests;
