//! Rows of CSV (RFC 4180), as programs write it, the exports of lists, and spreadsheets: with commas, semicolons or tabs between the
//! cells, whichever the header has.

use super::faults::Faults;
use super::row::{Row, Value};
use super::{Fields, ImportError, MOST_ROWS};

/// What a column stands for.
#[derive(Debug, Clone, Copy)]
enum Column {
    Field(&'static str),
    Ignored,
}

/// Where there is something wrong with the header no row is read.
pub(super) fn rows(text: &str, fields: Fields, faults: &mut Faults) -> Result<Vec<Row>, ImportError> {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter(text))
        .from_reader(text.as_bytes());
    let mut record = ::csv::StringRecord::new();
    let mut columns = None;
    let mut rows = Vec::new();
    loop {
        // It is text already, and nothing else can be wrong with it.
        if !matches!(reader.read_record(&mut record), Ok(true)) {
            return Ok(rows);
        }
        let line = line_of(text, &record);
        let Some(columns) = &columns else {
            match header(&record, line, fields, faults) {
                Some(known) => columns = Some(known),
                None => return Ok(rows),
            }
            continue;
        };
        // What a spreadsheet leaves below its last row.
        if record.iter().all(str::is_empty) {
            continue;
        }
        if rows.len() == MOST_ROWS {
            return Err(ImportError::TooLong);
        }
        if record.len() != columns.len() {
            let problem = format!("has {} cells, and the header has {}", record.len(), columns.len());
            faults.note(line, "", problem);
        }
        rows.push(row(line, columns, &record));
    }
}

/// Where a row begins. The lines without anything that may be before it are part of it to the reader.
fn line_of(text: &str, record: &::csv::StringRecord) -> usize {
    let Some(position) = record.position() else {
        return 0;
    };
    let number = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(number(position.byte())..).unwrap_or_default();
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    number(position.line()) + blank.filter(|byte| **byte == b'\n').count()
}

fn row(line: usize, columns: &[Column], record: &::csv::StringRecord) -> Row {
    let mut row = Row::new(line);
    for (column, cell) in columns.iter().zip(record) {
        match column {
            Column::Field(field) if !cell.is_empty() => row.set(field, Value::Cell(cell.to_owned())),
            Column::Field(_) | Column::Ignored => {}
        }
    }
    row
}

/// The columns, where all are known, none is there twice, and what is required is.
fn header(record: &::csv::StringRecord, line: usize, fields: Fields, faults: &mut Faults) -> Option<Vec<Column>> {
    let mut columns = Vec::with_capacity(record.len());
    let (mut seen, mut is_good) = (Vec::new(), true);
    for (index, name) in record.iter().enumerate() {
        let name = name.trim();
        match fields.named(name) {
            Ok(Some(field)) if seen.contains(&field) => {
                faults.note(line, field, "is the name of two columns");
                is_good = false;
            }
            Ok(Some(field)) => {
                seen.push(field);
                columns.push(Column::Field(field));
            }
            Ok(None) => columns.push(Column::Ignored),
            Err(problem) => {
                // A file without a header has in its place what is nobody's to repeat, such as a password.
                let is_name = (1..=40).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphabetic());
                let place = format!("column[{}]", index + 1);
                faults.note(line, if is_name { name } else { &place }, problem);
                is_good = false;
            }
        }
    }
    if !seen.contains(&fields.required) {
        faults.note(line, fields.required, "is required, and there is no such column");
        is_good = false;
    }
    is_good.then_some(columns)
}

/// What there is most of in the first line. No field has any of them in its name.
fn delimiter(text: &str) -> u8 {
    let header = text.trim_start_matches(['\r', '\n']).lines().next().unwrap_or_default();
    let count = |delimiter: u8| header.bytes().filter(|byte| *byte == delimiter).count();
    // The last of equals is chosen.
    [b'\t', b';', b',']
        .into_iter()
        .max_by_key(|delimiter| count(*delimiter))
        .unwrap_or(b',')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::THINGS;
    use super::*;

    fn read(text: &str) -> (Vec<Row>, Vec<String>) {
        let mut faults = Faults::default();
        let rows = rows(text, THINGS, &mut faults).unwrap();
        let faults = faults
            .told()
            .iter()
            .map(|fault| format!("{} {}", fault.field, fault.message))
            .collect();
        (rows, faults)
    }

    #[test]
    fn a_spreadsheet_of_any_country_is_read() {
        for text in [
            "name,size\r\n\"a, b\",1\r\n",
            "name;size\n\"a, b\";1\n;\n",
            "size\tname\n1\ta, b",
            "\n\"name\",\"size\"\n\n\"a, b\",\"1\"\n",
        ] {
            let (rows, faults) = read(text);
            assert_eq!(faults, [""; 0], "{text:?}");
            let mut expected = Row::new(rows[0].line);
            for (field, cell) in [("name", "a, b"), ("size", "1")] {
                expected.set(field, Value::Cell(cell.to_owned()));
            }
            assert!(rows.len() == 1 && rows[0].is_alike(&expected), "{text:?}: {rows:?}");
        }
    }

    #[test]
    fn rows_are_known_by_the_line_that_they_begin_in() {
        for text in [
            "name,size\n\"a\nb\",1\n\nc,2\nd,3",
            "name,size\r\n\"a\r\nb\",1\r\n\r\nc,2\r\nd,3\r\n",
        ] {
            let lines: Vec<_> = read(text).0.iter().map(|row| row.line).collect();
            assert_eq!(lines, [2, 5, 6], "{text:?}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_meant_is_told_and_no_row_is_looked_at() {
        let (rows, faults) = read("id,size,colour,size\n1,2,3,4\n");
        assert!(rows.is_empty());
        assert_eq!(
            faults,
            [
                "lines[1].colour is no field of a thing",
                "lines[1].size is the name of two columns",
                "lines[1].name is required, and there is no such column"
            ]
        );
    }

    #[test]
    fn a_row_of_another_length_is_told() {
        let (_, faults) = read("name,size\na\nb,1,\n");
        assert_eq!(
            faults,
            [
                "lines[2] has 1 cells, and the header has 2",
                "lines[3] has 3 cells, and the header has 2"
            ]
        );
    }
}
