//! Rows as lines of JSON (NDJSON): an object in each.

use serde_json::Map;

use super::faults::Faults;
use super::row::{Row, Value};
use super::{Fields, ImportError, MOST_ROWS};

pub(super) fn rows(text: &str, fields: Fields, faults: &mut Faults) -> Result<Vec<Row>, ImportError> {
    let mut rows = Vec::new();
    for (index, text) in text.lines().enumerate() {
        if text.trim().is_empty() {
            continue;
        }
        if rows.len() == MOST_ROWS {
            return Err(ImportError::TooLong);
        }
        let line = index + 1;
        match serde_json::from_str::<Map<_, _>>(text) {
            Ok(members) => rows.push(row(line, members, fields, faults)),
            Err(_) => {
                faults.note(line, "", "is no JSON object");
                // It counts as a row all the same.
                rows.push(Row::unreadable(line));
            }
        }
    }
    Ok(rows)
}

fn row(line: usize, members: Map<String, serde_json::Value>, fields: Fields, faults: &mut Faults) -> Row {
    let mut row = Row::new(line);
    for (name, value) in members {
        match fields.named(&name) {
            Ok(Some(_)) if value.is_null() => {}
            Ok(Some(field)) => row.set(field, Value::Json(value)),
            Ok(None) => {}
            Err(problem) => faults.note(line, &name, problem),
        }
    }
    row
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::tests::THINGS;
    use super::*;

    #[test]
    fn each_line_is_an_object_with_fields_that_are_known() {
        let text = "{\"name\":\"a\",\"size\":1,\"id\":{\"x\":1},\"tags\":null}\r\n\n[1]\n{\"name\":\"b\",\"colour\":\"red\"}\n{";
        let mut faults = Faults::default();
        let rows = rows(text, THINGS, &mut faults).unwrap();
        let mut first = Row::new(1);
        first.set("name", Value::Json(json!("a")));
        first.set("size", Value::Json(json!(1)));
        assert!(rows[0].is_alike(&first), "{rows:?}");
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 3, 4, 5]);
        let faults: Vec<_> = faults
            .told()
            .into_iter()
            .map(|fault| (fault.field, fault.message))
            .collect();
        let told = |field: &str, message: &str| (field.to_owned(), message.to_owned());
        assert_eq!(
            faults,
            [
                told("lines[3]", "is no JSON object"),
                told("lines[4].colour", "is no field of a thing"),
                told("lines[5]", "is no JSON object"),
            ]
        );
    }
}
