//! What callers say in their own words.

use service_kit::language;
use service_kit::reason::FieldViolation;

/// One line of `1` to `most` printable characters, with no space at either end.
///
/// # Errors
/// Under the name of the field.
pub(crate) fn line(field: &str, text: String, most: usize) -> Result<String, FieldViolation> {
    let fits = (1..=most).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(char::is_control);
    if fits {
        return Ok(text);
    }
    let problem = format!("must have 1 to {most} printable characters, and no space at either end");
    Err(FieldViolation::new(field, problem))
}

/// What is wrong with a name, where [`is_name`] says so.
pub(crate) const NO_NAME: &str =
    "must have 1 to 64 lower-case letters, digits and hyphens, and no hyphen at either end";

/// A name that stands in paths.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A language tag (BCP 47), as far as its shape goes.
///
/// # Errors
/// Under the name of the field.
pub(crate) fn language(field: &str, tag: String) -> Result<String, FieldViolation> {
    if language::is_tag(&tag) {
        return Ok(tag);
    }
    Err(FieldViolation::new(field, "is not a language tag, such as de"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        assert!(line("subject", "Works on Monday".to_owned(), 20).is_ok());
        for wrong in ["", " a", "a ", "a\r\nBcc: b", "\0", "a line that is too long"] {
            assert!(line("subject", wrong.to_owned(), 20).is_err(), "{wrong:?}");
        }
    }
}
