//! Which members of a message are wanted: all of them, or those that a list of paths names.

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, MessageDescriptor};

use super::well_known::WellKnown;
use crate::routes::{field_named, is_http_body};

/// Paths into a message. Those through a list mean each of its elements; a map is wanted as a whole or not at all, and so is a
/// message with a JSON form of its own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mask(BTreeMap<u32, Within>);

/// What is wanted of one member.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Within {
    Everything,
    Only(Mask),
}

/// What is wanted of one member, for whoever writes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wanted<'m> {
    Nothing,
    Everything,
    Only(&'m Mask),
}

impl Mask {
    /// Adds a path, in the names of JSON or of the proto. False where there is no such member.
    pub fn add(&mut self, message: &MessageDescriptor, path: &str) -> bool {
        let (name, rest) = match path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let Some(field) = field_named(message, name) else {
            return false;
        };
        let known = self.0.remove(&field.number());
        let within = match (rest, members(&field)) {
            (None, _) => Within::Everything,
            (Some(_), None) => return false,
            (Some(rest), Some(inner)) => {
                let mut mask = match &known {
                    Some(Within::Only(mask)) => mask.clone(),
                    _ => Self::default(),
                };
                if !mask.add(&inner, rest) {
                    return false;
                }
                match known {
                    Some(Within::Everything) => Within::Everything,
                    _ => Within::Only(mask),
                }
            }
        };
        self.0.insert(field.number(), within);
        true
    }

    /// The same for each element of `rows`, in a message whose other members are wanted as they are.
    pub fn for_each(self, message: &MessageDescriptor, rows: &FieldDescriptor) -> Self {
        let others = message.fields().map(|field| (field.number(), Within::Everything));
        let mut all: BTreeMap<_, _> = others.collect();
        all.insert(rows.number(), Within::Only(self));
        Self(all)
    }

    pub fn of(&self, field: &FieldDescriptor) -> Wanted<'_> {
        match self.0.get(&field.number()) {
            None => Wanted::Nothing,
            Some(Within::Everything) => Wanted::Everything,
            Some(Within::Only(mask)) => Wanted::Only(mask),
        }
    }
}

/// The message of a field whose members can be told apart: one with a JSON object of its own.
pub fn members(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let message = field.kind().as_message()?.clone();
    let apart = !field.is_map() && WellKnown::of(&message).is_none() && !is_http_body(&message);
    apart.then_some(message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::test_protos;

    fn row() -> MessageDescriptor {
        let pool = test_protos::compile(
            r#"syntax = "proto3"; package test; import "google/protobuf/timestamp.proto";
            message Row {
              string id = 1; Row inner_row = 2; repeated Row rows = 3; map<string, Row> named = 4;
              google.protobuf.Timestamp at = 5;
            }"#,
        );
        pool.get_message_by_name("test.Row").unwrap()
    }

    #[test]
    fn a_path_leads_through_messages_and_lists_and_into_nothing_else() {
        let mut mask = Mask::default();
        for path in [
            "id",
            "innerRow.id",
            "inner_row.innerRow.at",
            "rows.innerRow.id",
            "named",
            "at",
        ] {
            assert!(mask.add(&row(), path), "{path}");
        }
        for path in [
            "",
            "nope",
            "id.x",
            "innerRow.",
            ".id",
            "innerRow.nope",
            "named.x",
            "at.seconds",
            "innerRow..id",
        ] {
            assert!(!mask.clone().add(&row(), path), "{path}");
        }
    }

    #[test]
    fn the_whole_of_a_member_is_more_than_a_part_of_it_in_either_order() {
        for paths in [["innerRow", "innerRow.id"], ["innerRow.id", "innerRow"]] {
            let mut mask = Mask::default();
            assert!(paths.iter().all(|path| mask.add(&row(), path)));
            assert_eq!(
                mask.of(&row().get_field_by_name("inner_row").unwrap()),
                Wanted::Everything
            );
            assert_eq!(mask.of(&row().get_field_by_name("id").unwrap()), Wanted::Nothing);
        }
    }
}
