//! Reading the fields that a rule needs out of a payload.
//!
//! Reading forgives what validating reports: a number where a text belongs reads as its digits, digits in quotes read as
//! a number, a date-time without an offset is UTC. What cannot be read is `None`, never a zero or an empty text. Unknown
//! fields are passed over, and of a repeated field the last one counts.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    json::{Cursor, Kind, Text, to_integer},
    timestamp,
};

/// A field without which the message means nothing is absent or has an impossible type. The validator reports the same
/// field, so the CALLERROR takes its code from the [`crate::Violation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{field} is missing or cannot be read")]
pub struct Unreadable {
    pub field: &'static str,
}

/// The fields of one JSON object. `null`, which 1.6 allows for an empty payload, has none.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    json: &'a str,
}

impl<'a> Fields<'a> {
    pub fn of(payload: &'a RawValue) -> Fields<'a> {
        Fields { json: payload.get() }
    }

    pub fn text(&self, name: &str) -> Option<String> {
        let (kind, json) = self.find(name)?;
        match kind {
            Kind::Text => Some(Text::quoted(json).storable().into_owned()),
            Kind::Number => Some(json.to_owned()),
            _ => None,
        }
    }

    /// A text to the letter: it may hold a NUL, which PostgreSQL does not take.
    pub fn exact_text(&self, name: &str) -> Option<String> {
        match self.find(name)? {
            (Kind::Text, json) => Some(Text::quoted(json).decode().into_owned()),
            _ => None,
        }
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        let (kind, json) = self.find(name)?;
        match kind {
            Kind::Number => to_integer(json),
            Kind::Text => to_integer(Text::quoted(json).decode().trim()),
            _ => None,
        }
    }

    /// An integer of the size that OCPP gives to connectors and transactions. A larger one names nothing that exists.
    pub fn small_integer(&self, name: &str) -> Option<i32> {
        self.integer(name).and_then(|integer| i32::try_from(integer).ok())
    }

    pub fn time(&self, name: &str) -> Option<DateTime<Utc>> {
        let (kind, json) = self.find(name)?;
        match kind {
            Kind::Text => timestamp::parse(&Text::quoted(json).decode()),
            _ => None,
        }
    }

    pub fn boolean(&self, name: &str) -> Option<bool> {
        let (kind, json) = self.find(name)?;
        match (kind, json.trim_matches('"')) {
            (Kind::Boolean | Kind::Text, "true") => Some(true),
            (Kind::Boolean | Kind::Text, "false") => Some(false),
            _ => None,
        }
    }

    pub fn object(&self, name: &str) -> Option<Fields<'a>> {
        match self.find(name)? {
            (Kind::Object, json) => Some(Fields { json }),
            _ => None,
        }
    }

    /// The object as it was written.
    pub fn as_json(&self) -> &'a str {
        self.json
    }

    /// The texts in a list; elements that are none are left out.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let Some((Kind::List, json)) = self.find(name) else {
            return Vec::new();
        };
        let mut cursor = Cursor::new(json);
        let mut texts = Vec::new();
        cursor.enter();
        while cursor.element() {
            let kind = cursor.kind();
            let json = cursor.skip();
            if kind == Kind::Text {
                texts.push(Text::quoted(json).storable().into_owned());
            }
        }
        texts
    }

    /// The objects in a list; elements that are none are left out.
    pub fn list(&self, name: &str) -> Vec<Fields<'a>> {
        let Some((Kind::List, json)) = self.find(name) else {
            return Vec::new();
        };
        let mut cursor = Cursor::new(json);
        let mut objects = Vec::new();
        cursor.enter();
        while cursor.element() {
            let kind = cursor.kind();
            let json = cursor.skip();
            if kind == Kind::Object {
                objects.push(Fields { json });
            }
        }
        objects
    }

    pub fn required_text(&self, field: &'static str) -> Result<String, Unreadable> {
        self.text(field).ok_or(Unreadable { field })
    }

    pub fn required_small_integer(&self, field: &'static str) -> Result<i32, Unreadable> {
        self.small_integer(field).ok_or(Unreadable { field })
    }

    fn find(&self, name: &str) -> Option<(Kind, &'a str)> {
        let mut cursor = Cursor::new(self.json);
        if cursor.kind() != Kind::Object {
            return None;
        }
        cursor.enter();
        let mut found = None;
        while let Some(key) = cursor.member() {
            let kind = cursor.kind();
            let json = cursor.skip();
            if key.is(name) {
                found = Some((kind, json));
            }
        }
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_field_of_the_wrong_type_is_read_where_it_has_one_meaning() {
        let fields = Fields::of(raw(r#"{"idTag": 1234, "meterStart": " 250 ", "connectorId": 1.0}"#));
        assert_eq!(fields.text("idTag").as_deref(), Some("1234"));
        assert_eq!(fields.integer("meterStart"), Some(250));
        assert_eq!(fields.small_integer("connectorId"), Some(1));
    }

    #[test]
    fn what_cannot_be_read_is_none_and_never_zero() {
        let fields = Fields::of(raw(
            r#"{"a": null, "b": "", "c": {}, "d": [1], "e": true, "f": 4294967295}"#,
        ));
        for name in ["a", "b", "c", "d", "e", "absent"] {
            assert_eq!(fields.integer(name), None, "{name}");
            assert_eq!(fields.time(name), None, "{name}");
        }
        assert_eq!(fields.small_integer("f"), None);
        assert_eq!(fields.required_text("a"), Err(Unreadable { field: "a" }));
    }

    #[test]
    fn a_text_is_made_storable_unless_it_is_wanted_to_the_letter() {
        let fields = Fields::of(raw(r#"{"key": "a\u0000\u0062", "number": 7}"#));
        assert_eq!(fields.text("key").as_deref(), Some("a\u{fffd}b"));
        assert_eq!(fields.exact_text("key").as_deref(), Some("a\0b"));
        assert_eq!(fields.exact_text("number"), None);
    }

    #[test]
    fn a_null_payload_has_no_fields() {
        assert_eq!(Fields::of(raw("null")).text("idTag"), None);
    }

    #[test]
    fn the_last_of_a_repeated_field_counts_and_nested_fields_do_not() {
        let fields = Fields::of(raw(r#"{"x": {"idTag": "inner"}, "idTag": "A", "id\u0054ag": "B"}"#));
        assert_eq!(fields.text("idTag").as_deref(), Some("B"));
    }

    #[test]
    fn a_truth_in_quotes_is_read_and_a_number_is_no_truth() {
        let fields = Fields::of(raw(r#"{"a": true, "b": "false", "c": 1, "d": "yes"}"#));
        assert_eq!((fields.boolean("a"), fields.boolean("b")), (Some(true), Some(false)));
        assert_eq!((fields.boolean("c"), fields.boolean("d")), (None, None));
    }

    #[test]
    fn an_object_within_is_read_and_kept_as_it_was_written() {
        let fields = Fields::of(raw(r#"{"profile": { "id" : 1.0 }, "none": 3}"#));
        let profile = fields.object("profile").unwrap();
        assert_eq!(profile.integer("id"), Some(1));
        assert_eq!(profile.as_json(), r#"{ "id" : 1.0 }"#);
        assert!(fields.object("none").is_none());
    }

    #[test]
    fn a_list_of_texts_passes_over_what_is_none() {
        let fields = Fields::of(raw(r#"{"keys": ["a", 1, null, "b"], "none": "c"}"#));
        assert_eq!(fields.texts("keys"), ["a", "b"]);
        assert!(fields.texts("none").is_empty());
    }

    #[test]
    fn a_list_gives_its_objects_and_passes_over_the_rest() {
        let fields = Fields::of(raw(r#"{"list": [{"n": 1}, null, 7, {"n": 2}], "none": 3}"#));
        let numbers: Vec<_> = fields
            .list("list")
            .iter()
            .filter_map(|fields| fields.integer("n"))
            .collect();
        assert_eq!(numbers, [1, 2]);
        assert!(fields.list("none").is_empty());
    }
}
