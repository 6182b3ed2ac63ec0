//! What no two rows may have alike.

use std::collections::HashMap;

use super::faults::Faults;
use super::row::Row;

/// Column by column, as a statement takes them.
#[derive(Debug, Default)]
pub struct Keys {
    pub lines: Vec<i32>,
    pub values: Vec<String>,
}

/// The values of a field as they are compared, each with its line. Notes those that an earlier row has.
pub fn keys(rows: &[Row], field: &'static str, fold: fn(&str) -> String, faults: &mut Faults) -> Keys {
    let mut keys = Keys::default();
    let mut first_lines: HashMap<String, usize> = HashMap::with_capacity(rows.len());
    for row in rows {
        // What no text of the database can be, no other row there is either; and that it is wrong is known.
        let Some(value) = row.text(field).filter(|text| !text.contains('\0')) else {
            continue;
        };
        let key = fold(&value);
        if let Some(first) = first_lines.get(&key) {
            faults.note(row.line, field, format!("is that of line {first}, too"));
            continue;
        }
        keys.lines.push(row.line());
        keys.values.push(key.clone());
        first_lines.insert(key, row.line);
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::super::row::Value;
    use super::*;

    #[test]
    fn what_an_earlier_row_has_is_told_with_its_line() {
        let row = |line, text: &str| {
            let mut row = Row::new(line);
            row.set("name", Value::Cell(text.to_owned()));
            row
        };
        let rows = [row(2, "a"), row(3, "b"), row(4, "A"), Row::new(5), row(6, "a\0")];
        let mut faults = Faults::default();
        let keys = keys(&rows, "name", str::to_ascii_lowercase, &mut faults);
        assert_eq!(
            (keys.lines, keys.values),
            (vec![2, 3], vec!["a".to_owned(), "b".to_owned()])
        );
        let faults: Vec<_> = faults
            .told()
            .into_iter()
            .map(|fault| (fault.field, fault.message))
            .collect();
        assert_eq!(
            faults,
            [("lines[4].name".to_owned(), "is that of line 2, too".to_owned())]
        );
    }
}
