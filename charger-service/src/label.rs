//! Names that people give to things, such as sites and tariffs.

/// Whether a text has 1 to `longest` printable characters, and no space at either end.
pub fn is_label(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
}
