//! A JSON string as it stands in the text, escapes and all.

use std::borrow::Cow;

/// What stands between the quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// `json` with its quotes; something else than a string is an empty text.
    pub(crate) fn quoted(json: &'a str) -> Text<'a> {
        Text(
            json.strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .unwrap_or_default(),
        )
    }

    /// How many characters it stands for, counted as JSON Schema does (an emoji is one).
    pub(crate) fn characters(self) -> usize {
        match self.0.is_ascii() && !self.0.contains('\\') {
            true => self.0.len(),
            false => self.decode().chars().count(),
        }
    }

    pub(crate) fn is(self, other: &str) -> bool {
        self.0 == other || (self.0.contains('\\') && self.decode() == other)
    }

    /// The text with its escapes resolved. Half of a surrogate pair stands for no character and becomes U+FFFD.
    pub(crate) fn decode(self) -> Cow<'a, str> {
        let Some(first) = self.0.find('\\') else {
            return Cow::Borrowed(self.0);
        };
        let (before, mut rest) = self.0.split_at(first);
        let mut text = String::from(before);
        while let Some(escape) = rest.find('\\') {
            let (before, from_escape) = rest.split_at(escape);
            text.push_str(before);
            let (character, length) = unescape(from_escape);
            text.push(character);
            rest = from_escape.get(length..).unwrap_or_default();
        }
        text.push_str(rest);
        Cow::Owned(text)
    }

    /// The decoded text with NUL replaced by U+FFFD: valid in JSON, but PostgreSQL refuses it, and one such byte in a stop must
    /// not keep the stop from being stored.
    pub(crate) fn storable(self) -> Cow<'a, str> {
        let text = self.decode();
        match text.contains('\0') {
            true => Cow::Owned(text.replace('\0', "\u{fffd}")),
            false => text,
        }
    }
}

/// The character behind the escape that begins the text, and how many bytes the escape takes.
fn unescape(text: &str) -> (char, usize) {
    match text.as_bytes().get(1) {
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(b'n') => ('\n', 2),
        Some(b'r') => ('\r', 2),
        Some(b't') => ('\t', 2),
        Some(b'u') => unescape_unicode(text),
        Some(&other) => (char::from(other), 2),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

fn unescape_unicode(text: &str) -> (char, usize) {
    let unit = |from: usize| u16::from_str_radix(text.get(from..from + 4)?, 16).ok();
    let high = unit(2).unwrap_or(0xFFFD);
    let low = if text.get(6..8) == Some("\\u") { unit(8) } else { None };
    let mut pair = char::decode_utf16([Some(high), low].into_iter().flatten());
    match (pair.next(), high) {
        (Some(Ok(character)), 0xD800..=0xDBFF) => (character, 12),
        (Some(Ok(character)), _) => (character, 6),
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_resolved_and_surrogate_pairs_are_one_character() {
        let text = Text::quoted(r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude97z""#);
        assert_eq!(text.decode(), "a\"\\/\u{8}\u{c}\n\r\té🚗z");
        assert_eq!(text.characters(), 12);
    }

    #[test]
    fn half_a_surrogate_pair_becomes_a_replacement_character() {
        for text in [r#""\ud83d""#, r#""\ude97""#] {
            assert_eq!(Text::quoted(text).decode(), "\u{fffd}");
        }
        assert_eq!(Text::quoted(r#""\ud83d\u0041\ud83dx""#).decode(), "\u{fffd}A\u{fffd}x");
    }

    #[test]
    fn a_nul_is_made_storable() {
        assert_eq!(Text::quoted(r#""a\u0000b""#).storable(), "a\u{fffd}b");
    }

    #[test]
    fn text_is_compared_by_what_it_stands_for() {
        assert!(Text::quoted(r#""A\u0063cepted""#).is("Accepted"));
        assert!(!Text::quoted(r#""accepted""#).is("Accepted"));
    }

    proptest! {
        #[test]
        fn any_string_that_serde_json_writes_is_read_back(string: String) {
            let json = serde_json::to_string(&string).unwrap();
            let text = Text::quoted(&json);
            prop_assert_eq!(text.decode(), string.as_str());
            prop_assert_eq!(text.characters(), string.chars().count());
        }
    }
}
