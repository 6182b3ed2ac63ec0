//! Rows as CSV (RFC 4180): a column for each member of a row, in the order of the proto.
//!
//! A message within a row has its members as columns of their own (`parent.child`); what has no fixed set of columns, a list or a
//! map, is JSON in its cell. What a spreadsheet would take for a formula has an apostrophe before it, so that nothing a charge point
//! says is executed on an operator's desk. That goes for the middle of a cell too: a spreadsheet that is set to other separators
//! than commas, as Excel is in many countries, begins a cell where we do not, and does not see our quotation marks.

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};

use crate::json::{self, Mask, RawJsonFields, Unwritable, Wanted};

/// Messages within messages have columns so deep.
const DEEPEST: usize = 5;

/// What makes a spreadsheet calculate, at the beginning of a cell. Those of East Asia take the wide forms too.
const STARTS_A_FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

/// Where a spreadsheet may begin another cell, by its settings.
const SEPARATORS: [char; 5] = [',', ';', '\t', '\r', '\n'];

/// The columns of a row.
#[derive(Debug)]
pub struct Columns(Vec<Column>);

#[derive(Debug)]
struct Column {
    name: String,
    /// The messages that lead to it.
    parents: Vec<FieldDescriptor>,
    leaf: FieldDescriptor,
    /// What is wanted of a cell that is JSON.
    mask: Option<Mask>,
}

impl Columns {
    /// Those that are wanted; all of them where there is no mask.
    pub fn of(row: &MessageDescriptor, mask: Option<&Mask>) -> Self {
        let mut columns = Vec::new();
        let mut outer = vec![row.clone()];
        collect(&mut columns, &mut Vec::new(), &mut outer, mask);
        Self(columns)
    }

    pub fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_line(&mut out, self.0.iter().map(|column| column.name.clone()));
        out
    }

    /// # Errors
    /// A value has no text.
    pub fn row(&self, row: &DynamicMessage, raw_json: &RawJsonFields, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let cells = self.0.iter().map(|column| column.cell(row, &column.parents, raw_json));
        let cells: Vec<_> = cells.collect::<Result<_, _>>()?;
        write_line(out, cells.into_iter());
        Ok(())
    }
}

/// The columns of the innermost message in `outer`.
fn collect(
    columns: &mut Vec<Column>,
    parents: &mut Vec<FieldDescriptor>,
    outer: &mut Vec<MessageDescriptor>,
    mask: Option<&Mask>,
) {
    let Some(message) = outer.last().cloned() else {
        return;
    };
    for field in in_order(&message) {
        let within = match mask.map_or(Wanted::Everything, |mask| mask.of(&field)) {
            Wanted::Nothing => continue,
            Wanted::Everything => None,
            Wanted::Only(mask) => Some(mask),
        };
        // One that contains itself would never end.
        let nested = json::members(&field).filter(|inner| !field.is_list() && !outer.contains(inner));
        match nested.filter(|_| outer.len() < DEEPEST) {
            Some(inner) => {
                parents.push(field);
                outer.push(inner);
                collect(columns, parents, outer, within);
                outer.pop();
                parents.pop();
            }
            None => {
                let names: Vec<_> = parents.iter().chain([&field]).map(FieldDescriptor::json_name).collect();
                columns.push(Column {
                    name: names.join("."),
                    parents: parents.clone(),
                    mask: within.cloned(),
                    leaf: field,
                });
            }
        }
    }
}

/// The members of a message as they are declared. The descriptor itself has them by their numbers.
fn in_order(message: &MessageDescriptor) -> impl Iterator<Item = FieldDescriptor> {
    let numbers = message.descriptor_proto().field.iter().map(|field| field.number());
    numbers.filter_map(|number| message.get_field(u32::try_from(number).ok()?))
}

impl Column {
    /// Empty where it is absent, or anything that leads to it.
    fn cell(
        &self,
        message: &DynamicMessage,
        parents: &[FieldDescriptor],
        raw_json: &RawJsonFields,
    ) -> Result<String, Unwritable> {
        if let Some((parent, rest)) = parents.split_first() {
            return match message.get_field(parent).as_message() {
                Some(inner) if message.has_field(parent) => self.cell(inner, rest, raw_json),
                _ => Ok(String::new()),
            };
        }
        let json = json::write_field(message, &self.leaf, self.mask.as_ref(), raw_json)?;
        let json = String::from_utf8_lossy(&json);
        if json == "null" {
            return Ok(String::new());
        }
        // A document stays what it is. Any other text stands in the cell without its quotation marks.
        let text = if raw_json.contains(&self.leaf) {
            None
        } else {
            serde_json::from_str::<String>(&json).ok()
        };
        Ok(text.map_or_else(|| harmless_json(&json), |text| harmless(&text)))
    }
}

/// A text that a spreadsheet takes for a text, wherever it cuts it. A number is one, and stays one.
fn harmless(cell: &str) -> String {
    let mut out = String::with_capacity(cell.len());
    let mut rest = cell;
    loop {
        let part = rest.find(SEPARATORS).map_or(rest, |end| &rest[..end]);
        if is_formula(rest) && !is_number(part) {
            out.push('\'');
        }
        out.push_str(part);
        rest = &rest[part.len()..];
        let Some(separator) = rest.chars().next() else {
            return out;
        };
        out.push(separator);
        rest = &rest[separator.len_utf8()..];
    }
}

/// A quotation mark before it counts for nothing where a spreadsheet takes it for the beginning of a quotation.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('"').starts_with(STARTS_A_FORMULA)
}

/// The same for JSON, which stays JSON and says the same: what would begin a formula within one of its texts is escaped there
/// (RFC 8259, section 7). Outside of its texts there is nothing but numbers.
fn harmless_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_text, mut is_escaped, mut begins) = (false, false, false);
    for character in json.chars() {
        if in_text && begins && STARTS_A_FORMULA.contains(&character) {
            out.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            out.push(character);
        }
        begins = SEPARATORS.contains(&character) || (begins && (character == '"' || character == '\\'));
        in_text ^= character == '"' && !is_escaped;
        is_escaped = in_text && character == '\\' && !is_escaped;
    }
    out
}

/// A number as JSON has it.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let begins_well = digits.starts_with(|character: char| character.is_ascii_digit());
    let in_number = |character: char| character.is_ascii_digit() || ".eE+-".contains(character);
    begins_well && digits.chars().all(in_number) && text.parse::<f64>().is_ok()
}

fn write_line(out: &mut Vec<u8>, cells: impl Iterator<Item = String>) {
    let start = out.len();
    for (number, cell) in cells.enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_cell(out, &cell);
    }
    // An empty line would be no row.
    if out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.extend_from_slice(b"\r\n");
}

fn write_cell(out: &mut Vec<u8>, cell: &str) {
    if cell.contains('"') || cell.contains(SEPARATORS) {
        out.push(b'"');
        out.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(cell.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::test_protos;

    fn pool() -> DescriptorPool {
        test_protos::compile(
            r#"syntax = "proto3"; package test;
            import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
            import "voltgate/api/v1/options.proto";
            enum Color { NONE = 0; RED = 1; }
            message Place { string city = 1; Spot spot = 2; }
            message Spot { int32 level = 2; optional string bay_name = 1; }
            message Row {
              string last = 9; int64 id = 1; optional double energy = 2; google.protobuf.Timestamp at = 3;
              Place place = 4; repeated Spot spots = 5; map<string, int32> counts = 6; bytes data = 7; Row parent = 8;
              string payload = 10 [(voltgate.api.v1.raw_json) = true]; Color color = 11;
              google.protobuf.StringValue note = 12; bool on = 13;
            }"#,
        )
    }

    fn columns(fields: &[&str]) -> Columns {
        let row = pool().get_message_by_name("test.Row").unwrap();
        let mut mask = Mask::default();
        assert!(fields.iter().all(|path| mask.add(&row, path)));
        Columns::of(&row, (!fields.is_empty()).then_some(&mask))
    }

    /// The one row that a message in proto3 JSON is.
    fn row(fields: &[&str], json: &str) -> String {
        let (pool, mut out) = (pool(), Vec::new());
        let raw_json = RawJsonFields::from_descriptors(&pool);
        let descriptor = pool.get_message_by_name("test.Row").unwrap();
        let context = json::Context {
            raw_json: &raw_json,
            said: &[],
        };
        let message = json::read(&bytes::Bytes::copy_from_slice(json.as_bytes()), &descriptor, context).unwrap();
        columns(fields).row(&message, &raw_json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_columns_are_the_members_in_the_order_of_the_proto_and_those_of_messages_within() {
        let header = String::from_utf8(columns(&[]).header()).unwrap();
        assert_eq!(
            header,
            "last,id,energy,at,place.city,place.spot.level,place.spot.bayName,spots,counts,data,parent,payload,color,note,on\r\n"
        );
        let some = columns(&["place.spot", "on", "spots.level"]).header();
        assert_eq!(some, b"place.spot.level,place.spot.bayName,spots,on\r\n");
    }

    #[test]
    fn a_cell_is_a_text_or_json_and_what_is_absent_is_empty() {
        assert_eq!(row(&[], "{}"), ",0,,,,,,[],{},,,,NONE,,false\r\n");
        let full = row(
            &[],
            r#"{"last": "a", "id": "-5", "energy": -1.5, "at": "2026-01-31T08:15:00Z", "place": {"spot": {"level": -1}},
            "spots": [{"level": 1}], "counts": {"b": 2, "a": 1}, "data": "/w==", "parent": {"id": "7"},
            "payload": {"x": [1.0]}, "color": "RED", "note": "n", "on": true}"#,
        );
        assert!(full.starts_with(
            "a,-5,-1.5,2026-01-31T08:15:00Z,,-1,,\"[{\"\"level\"\":1}]\",\"{\"\"a\"\":1,\"\"b\"\":2}\",/w==,"
        ));
        assert!(full.ends_with(",\"{\"\"x\"\": [1.0]}\",RED,n,true\r\n"), "{full}");
        assert_eq!(
            row(&["spots.level"], r#"{"spots": [{"level": 1, "bayName": "x"}]}"#),
            "\"[{\"\"level\"\":1}]\"\r\n"
        );
        assert_eq!(row(&["payload"], r#"{"payload": "text"}"#), "\"\"\"text\"\"\"\r\n");
    }

    #[test]
    fn what_would_break_a_line_is_quoted() {
        assert_eq!(
            row(&["last", "id"], r#"{"last": "a \"b\", c\r\nd;é"}"#),
            "\"a \"\"b\"\", c\r\nd;é\",0\r\n"
        );
        assert_eq!(row(&["last"], "{}"), "\"\"\r\n", "an empty line would be no row");
    }

    #[test]
    fn what_a_spreadsheet_would_calculate_has_an_apostrophe_before_it_and_numbers_stay() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+4930", "'+4930"),
            ("-x", "'-x"),
            ("-1+1", "'-1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("＝1+1", "'＝1+1"),
            ("\\t=1", "\"'\t'=1\""),
            ("\\r=1", "\"'\r'=1\""),
            ("\\\"=1", "\"'\"\"=1\""),
            ("-", "'-"),
            ("-inf", "'-inf"),
            ("-12.5", "-12.5"),
            ("-1e3", "-1e3"),
            ("a=1", "a=1"),
            (" =1", " =1"),
            // Where a spreadsheet is set to other separators, another cell begins in the middle of ours.
            ("x;=1;y", "\"x;'=1;y\""),
            ("x\\t+1", "\"x\t'+1\""),
            ("x\\n@1", "\"x\n'@1\""),
            ("x\\r\\n-x", "\"x\r\n'-x\""),
            ("x,=1", "\"x,'=1\""),
            ("x;\\\"=1", "\"x;'\"\"=1\""),
            ("x;-5;-y;5", "\"x;-5;'-y;5\""),
            ("x;y=1", "\"x;y=1\""),
        ] {
            let json = format!(r#"{{"last": "{text}"}}"#);
            assert_eq!(row(&["last"], &json), format!("{cell}\r\n"));
        }
    }

    #[test]
    fn json_in_a_cell_starts_no_formula_and_says_what_it_said() {
        for (document, cell) in [
            (r#"{"a":"x;=1"}"#, r#"{"a":"x;\u003d1"}"#),
            (r#"["a","@1",-1]"#, r#"["a","\u00401",-1]"#),
            (r#"{"a":"x;\"+1","b":"=1;"}"#, r#"{"a":"x;\"\u002b1","b":"=1;"}"#),
            (r#"{"a\\":"x,＝1"}"#, r#"{"a\\":"x,\uff1d1"}"#),
        ] {
            let written = row(&["payload"], &format!(r#"{{"payload": {document}}}"#));
            assert_eq!(written, format!("\"{}\"\r\n", cell.replace('"', "\"\"")));
            let [before, after] = [document, cell].map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap());
            assert_eq!(before, after);
        }
        let list = row(&["spots"], r#"{"spots": [{"bayName": "x;=1"}]}"#);
        assert!(list.contains(r"x;\u003d1"), "{list}");
    }
}
