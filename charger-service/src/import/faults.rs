//! What is wrong with the rows of a file: all of it, as long as it can be told. How much is wrong besides is counted.

use service_kit::reason::{FieldViolation, Reason};
use tonic::Status;

/// As many are told.
const MOST: usize = 1000;

/// As long as they are together, in bytes: an answer's status travels in a header.
const LONGEST: usize = 128 * 1024;

/// The beginning of a name that somebody made up is enough.
const LONGEST_FIELD: usize = 100;

#[derive(Debug, Default)]
pub struct Faults {
    told: Vec<Fault>,
    bytes: usize,
    /// Those that are not.
    more: usize,
}

#[derive(Debug)]
struct Fault {
    line: usize,
    violation: FieldViolation,
}

impl Faults {
    /// `field`: of the row that begins in this line, counted from 1; empty for the line as such. `problem`: the rest of a sentence that
    /// starts with the field.
    pub fn note(&mut self, line: usize, field: &str, problem: impl Into<String>) {
        let field: String = field.chars().take(LONGEST_FIELD).collect();
        let field = match field.as_str() {
            "" => format!("lines[{line}]"),
            field => format!("lines[{line}].{field}"),
        };
        let violation = FieldViolation::new(field, problem);
        self.bytes += violation.field.len() + violation.message.len();
        if self.told.len() >= MOST || self.bytes > LONGEST {
            self.more += 1;
        } else {
            self.told.push(Fault { line, violation });
        }
    }

    /// The same for what a rule has found, unless the field is known to be wrong.
    pub fn note_all(&mut self, line: usize, violations: impl IntoIterator<Item = FieldViolation>) {
        for violation in violations {
            if !self.is_noted(line, &violation.field) {
                self.note(line, &violation.field, violation.message);
            }
        }
    }

    /// The same problem of several rows, by their lines.
    pub fn note_lines(&mut self, lines: &[i32], field: &str, problem: &str) {
        for line in lines {
            self.note(usize::try_from(*line).unwrap_or_default(), field, problem);
        }
    }

    /// Of the row that was looked at last.
    fn is_noted(&self, line: usize, field: &str) -> bool {
        let name = format!("lines[{line}].{field}");
        let of_row = self.told.iter().rev().take_while(|fault| fault.line == line);
        of_row.into_iter().any(|fault| fault.violation.field == name)
    }

    pub fn is_empty(&self) -> bool {
        self.told.is_empty() && self.more == 0
    }

    #[cfg(test)]
    pub fn told(&self) -> Vec<FieldViolation> {
        self.told.iter().map(|fault| fault.violation.clone()).collect()
    }
}

/// In the order of the lines.
impl From<Faults> for Status {
    fn from(mut faults: Faults) -> Self {
        faults.told.sort_by_key(|fault| fault.line);
        let all = faults.told.len() + faults.more;
        let message = match (faults.told.as_slice(), faults.more) {
            ([one], 0) => format!("{} {}", one.violation.field, one.violation.message),
            (_, 0) => format!("{all} things are wrong with the file"),
            (told, more) => format!(
                "{all} things are wrong with the file; the first {} are told, and there are {more} more",
                told.len()
            ),
        };
        let violations = faults.told.into_iter().map(|fault| fault.violation).collect();
        Reason::InvalidRequest.with_violations(message, violations)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    fn told(status: &Status) -> Vec<String> {
        let details = status.get_details_bad_request().unwrap();
        details
            .field_violations
            .into_iter()
            .map(|violation| violation.field)
            .collect()
    }

    #[test]
    fn faults_are_told_in_the_order_of_the_lines_and_those_of_one_line_as_they_were_found() {
        let mut faults = Faults::default();
        faults.note(3, "b", "is wrong");
        faults.note(2, "", "is no row");
        faults.note(3, "a", "is wrong");
        faults.note_all(3, [FieldViolation::new("a", "is wrong in another way")]);
        let status = Status::from(faults);
        assert_eq!(told(&status), ["lines[2]", "lines[3].b", "lines[3].a"]);
        assert_eq!(status.message(), "3 things are wrong with the file");
    }

    #[test]
    fn one_is_the_message_itself_and_of_too_many_the_rest_is_counted() {
        let mut one = Faults::default();
        one.note(2, "name", "must not be empty");
        assert_eq!(Status::from(one).message(), "lines[2].name must not be empty");
        let mut many = Faults::default();
        for line in 1..=MOST + 234 {
            many.note(line, "name", "must not be empty");
        }
        let status = Status::from(many);
        assert_eq!(told(&status).len(), MOST);
        assert_eq!(
            status.message(),
            "1234 things are wrong with the file; the first 1000 are told, and there are 234 more"
        );
    }

    #[test]
    fn long_faults_are_bounded_by_their_length() {
        let mut long = Faults::default();
        for line in 1..=200 {
            long.note(line, &"é".repeat(1000), "x".repeat(1000));
        }
        let status = Status::from(long);
        let told = told(&status);
        assert!(told.len() < 200 && told[0].len() < 300, "{}", told.len());
        assert!(status.message().starts_with("200 things"));
    }
}
