//! What operators say about a decision of theirs, for whoever looks at it later.

/// In characters.
const LONGEST: usize = 500;

/// Words that can be kept, without the spaces around them.
///
/// # Errors
/// The rest of a sentence that starts with the field.
pub fn parse(text: &str) -> Result<String, String> {
    let words = text.trim();
    if words.is_empty() || text.chars().count() > LONGEST || text.chars().any(char::is_control) {
        return Err(format!("must have 1 to {LONGEST} printable characters"));
    }
    Ok(words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_has_words_and_one_line() {
        assert_eq!(parse(" a test ").as_deref(), Ok("a test"));
        for refused in ["", "  ", "a\nb", "\0", &"x".repeat(501)] {
            assert!(parse(refused).is_err(), "{refused:?}");
        }
    }
}
