//! What callers say in their own words.

use service_kit::language;
use service_kit::reason::FieldViolation;
use unicode_normalization::UnicodeNormalization as _;

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

/// A username, as auth-service takes it: what a mail address may have, and letters and digits of any script.
///
/// # Errors
/// Under the name of the field.
pub(crate) fn username(field: &str, text: String) -> Result<String, FieldViolation> {
    let composed: String = text.nfc().collect();
    if !(3..=254).contains(&composed.chars().count()) {
        return Err(FieldViolation::new(field, "must have 3 to 254 characters"));
    }
    let is_usual = |c: char| c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~@-".contains(c);
    if !composed.chars().all(is_usual) {
        let problem = "may hold letters, digits and the signs .!#$%&'*+/=?^_`{|}~@- only";
        return Err(FieldViolation::new(field, problem));
    }
    Ok(text)
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
    fn a_username_is_one_that_an_account_may_have() {
        for good in ["ada", "ada@example.com", "Ådá", "A\u{30a}da", "柳さん"] {
            assert!(username("username", good.to_owned()).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "ad",
            "ada lovelace",
            "https://phish.example/",
            "ada\u{202e}",
            "<ada>",
        ] {
            assert!(username("username", wrong.to_owned()).is_err(), "{wrong}");
        }
        assert!(username("username", "x".repeat(255)).is_err());
    }

    #[test]
    fn a_line_is_one_line() {
        assert!(line("subject", "Works on Monday".to_owned(), 20).is_ok());
        for wrong in ["", " a", "a ", "a\r\nBcc: b", "\0", "a line that is too long"] {
            assert!(line("subject", wrong.to_owned(), 20).is_err(), "{wrong:?}");
        }
    }
}
