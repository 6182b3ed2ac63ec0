//! One row of a file, and its fields by their types. CSV has texts only, and says the others in them as its exports do.

use prost_types::Timestamp;
use serde::de::DeserializeOwned;
use service_kit::event::timestamp;

use super::faults::Faults;

/// What makes a spreadsheet calculate. Exports put an apostrophe before it, which is taken away here.
const STARTS_A_FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
const SEPARATORS: [char; 5] = [',', ';', '\t', '\r', '\n'];

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of CSV; never empty.
    Cell(String),
    /// Never null.
    Json(serde_json::Value),
}

#[derive(Debug)]
pub struct Row {
    /// Counted from 1.
    pub line: usize,
    values: Vec<(&'static str, Value)>,
    is_readable: bool,
}

/// Notes what is wrong with the fields of a row while they are read.
#[derive(Debug)]
pub struct Reader<'a> {
    pub row: &'a Row,
    pub faults: &'a mut Faults,
}

impl Row {
    pub(super) fn new(line: usize) -> Self {
        Self {
            line,
            values: Vec::new(),
            is_readable: true,
        }
    }

    /// There is a line, and nothing is known of it.
    pub(super) fn unreadable(line: usize) -> Self {
        Self {
            is_readable: false,
            ..Self::new(line)
        }
    }

    /// As the database takes it.
    pub fn line(&self) -> i32 {
        i32::try_from(self.line).unwrap_or(i32::MAX)
    }

    pub fn is_readable(&self) -> bool {
        self.is_readable
    }

    pub(super) fn set(&mut self, field: &'static str, value: Value) {
        self.values.push((field, value));
    }

    fn value(&self, field: &str) -> Option<&Value> {
        let named = self.values.iter().find(|(name, _)| *name == field);
        named.map(|(_, value)| value)
    }

    /// A text as it is, where it is one.
    pub fn text(&self, field: &str) -> Option<String> {
        match self.value(field)? {
            Value::Cell(cell) => Some(plain(cell)),
            Value::Json(serde_json::Value::String(text)) => Some(text.clone()),
            Value::Json(_) => None,
        }
    }

    #[cfg(test)]
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        let is_there = |(name, value): &(&'static str, Value)| other.value(name) == Some(value);
        self.line == other.line && self.values.len() == other.values.len() && self.values.iter().all(is_there)
    }
}

impl Reader<'_> {
    fn wrong<T>(&mut self, field: &str, problem: &str) -> Option<T> {
        self.faults.note(self.row.line, field, problem);
        None
    }

    pub fn text(&mut self, field: &str) -> Option<String> {
        let text = self.row.text(field);
        if text.is_none() && self.row.value(field).is_some() {
            return self.wrong(field, "must be a text");
        }
        text
    }

    pub fn number(&mut self, field: &str) -> Option<i32> {
        let number = match self.row.value(field)? {
            Value::Cell(cell) => cell.trim().parse().ok(),
            Value::Json(serde_json::Value::String(text)) => text.parse().ok(),
            Value::Json(json) => json.as_i64().and_then(|number| i32::try_from(number).ok()),
        };
        number.or_else(|| self.wrong(field, "must be a whole number"))
    }

    /// Spreadsheets write these in capitals.
    pub fn flag(&mut self, field: &str) -> Option<bool> {
        let flag = match self.row.value(field)? {
            Value::Cell(cell) => match cell.trim().to_ascii_lowercase().as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
            Value::Json(json) => json.as_bool(),
        };
        flag.or_else(|| self.wrong(field, "must be true or false"))
    }

    pub fn time(&mut self, field: &str) -> Option<Timestamp> {
        let text = match self.row.value(field)? {
            Value::Cell(cell) => Some(cell.trim()),
            Value::Json(json) => json.as_str(),
        };
        let time = text.and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
        match time {
            Some(time) => Some(timestamp(time.to_utc())),
            None => self.wrong(field, "is no time, such as 2031-12-31T23:59:59Z"),
        }
    }

    /// A list of texts. A cell that is no list in JSON has commas between them.
    pub fn texts(&mut self, field: &str) -> Vec<String> {
        let is_plain = |cell: &String| !cell.trim_start().starts_with('[');
        if let Some(Value::Cell(cell)) = self.row.value(field)
            && is_plain(cell)
        {
            let cell = plain(cell);
            let texts = cell.split(',').map(str::trim).filter(|text| !text.is_empty());
            return texts.map(str::to_owned).collect();
        }
        self.json(field, "must be a list of texts").unwrap_or_default()
    }

    /// A list or an object, as JSON has it. `problem`: what it must be.
    pub fn json<T: DeserializeOwned>(&mut self, field: &str, problem: &str) -> Option<T> {
        let read = match self.row.value(field)? {
            Value::Cell(cell) => serde_json::from_str(cell).ok(),
            Value::Json(json) => T::deserialize(json).ok(),
        };
        read.or_else(|| self.wrong(field, problem))
    }
}

/// A text without the apostrophes that exports put where a spreadsheet would begin to calculate: at the beginning of a cell, and
/// behind what a spreadsheet may take for its end.
fn plain(cell: &str) -> String {
    let mut out = String::with_capacity(cell.len());
    let mut rest = cell;
    loop {
        let unmarked = rest.strip_prefix('\'').filter(|rest| is_marked(rest));
        rest = unmarked.unwrap_or(rest);
        let part = part(rest);
        out.push_str(part);
        rest = &rest[part.len()..];
        let Some(separator) = rest.chars().next() else {
            return out;
        };
        out.push(separator);
        rest = &rest[separator.len_utf8()..];
    }
}

/// Whether an export would have put an apostrophe before it.
fn is_marked(rest: &str) -> bool {
    rest.trim_start_matches('"').starts_with(STARTS_A_FORMULA) && !is_number(part(rest))
}

fn part(rest: &str) -> &str {
    rest.find(SEPARATORS).map_or(rest, |end| &rest[..end])
}

/// A number as JSON has it.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let begins_well = digits.starts_with(|character: char| character.is_ascii_digit());
    let in_number = |character: char| character.is_ascii_digit() || ".eE+-".contains(character);
    begins_well && digits.chars().all(in_number) && text.parse::<f64>().is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn row(value: Value) -> Row {
        let mut row = Row::new(2);
        row.set("field", value);
        row
    }

    fn cell(text: &str) -> Row {
        row(Value::Cell(text.to_owned()))
    }

    /// What is read, and what is wrong with it.
    fn read<T>(row: &Row, read: impl FnOnce(&mut Reader<'_>) -> T) -> (T, Option<String>) {
        let mut faults = Faults::default();
        let mut reader = Reader {
            row,
            faults: &mut faults,
        };
        let value = read(&mut reader);
        (value, faults.told().pop().map(|fault| fault.message))
    }

    #[test]
    fn fields_have_their_types_in_cells_and_in_json() {
        for (of, value) in [
            (cell("-5"), Some(-5)),
            (row(Value::Json(json!("7"))), Some(7)),
            (row(Value::Json(json!(7))), Some(7)),
        ] {
            assert_eq!(read(&of, |reader| reader.number("field")), (value, None));
        }
        for wrong in [
            cell("5.5"),
            cell("x"),
            row(Value::Json(json!(5_000_000_000_i64))),
            row(Value::Json(json!(true))),
        ] {
            let told = read(&wrong, |reader| reader.number("field"));
            assert_eq!(told, (None, Some("must be a whole number".to_owned())));
        }
        for (of, value) in [
            (cell("TRUE"), Some(true)),
            (row(Value::Json(json!(false))), Some(false)),
        ] {
            assert_eq!(read(&of, |reader| reader.flag("field")), (value, None));
        }
        assert!(read(&cell("yes"), |reader| reader.flag("field")).1.is_some());
        let time = read(&cell("2026-01-31T09:15:00+01:00"), |reader| reader.time("field")).0;
        assert_eq!(time.unwrap().seconds, 1_769_847_300);
        assert!(read(&cell("31.1.2026"), |reader| reader.time("field")).1.is_some());
        assert!(
            read(&row(Value::Json(json!(1))), |reader| reader.text("field"))
                .1
                .is_some()
        );
        assert_eq!(read(&cell("x"), |reader| reader.text("other")), (None, None));
    }

    #[test]
    fn a_list_is_json_or_has_commas_in_its_cell() {
        let expected = ["a", "b"].map(str::to_owned).to_vec();
        for of in [
            cell("a, b,"),
            cell(" [\"a\",\"b\"]"),
            row(Value::Json(json!(["a", "b"]))),
        ] {
            assert_eq!(
                read(&of, |reader| reader.texts("field")),
                (expected.clone(), None),
                "{of:?}"
            );
        }
        for wrong in [cell("[\"a\""), row(Value::Json(json!("a")))] {
            assert_eq!(
                read(&wrong, |reader| reader.texts("field")).1.as_deref(),
                Some("must be a list of texts")
            );
        }
    }

    /// As `gateway/src/export/csv.rs` does it.
    fn harmless(cell: &str) -> String {
        let mut out = String::new();
        let mut rest = cell;
        loop {
            if is_marked(rest) {
                out.push('\'');
            }
            let part = part(rest);
            out.push_str(part);
            rest = &rest[part.len()..];
            let Some(separator) = rest.chars().next() else {
                return out;
            };
            out.push(separator);
            rest = &rest[separator.len_utf8()..];
        }
    }

    #[test]
    fn the_apostrophes_of_an_export_are_taken_away_and_others_stay() {
        for (exported, text) in [
            ("'=1+1", "=1+1"),
            ("'+4930", "+4930"),
            ("x;'=1;y", "x;=1;y"),
            ("'\t'=1", "\t=1"),
            ("'\"=1", "\"=1"),
            ("'s-Hertogenbosch", "'s-Hertogenbosch"),
            ("'-5", "'-5"),
            ("it's =1", "it's =1"),
        ] {
            assert_eq!(plain(exported), text, "{exported}");
        }
    }

    proptest! {
        #[test]
        fn a_text_that_was_exported_is_imported_as_it_was(text in "[-a5'=+@;,\t\"é ]{0,12}") {
            // One that has such an apostrophe of its own comes in lines of JSON.
            prop_assume!(plain(&text) == text);
            prop_assert_eq!(plain(&harmless(&text)), text);
        }
    }
}
