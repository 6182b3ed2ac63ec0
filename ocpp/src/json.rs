//! A cursor over JSON text that serde_json has already found valid.
//!
//! Why not `serde_json::Value`, or serde's visitors: we must see every fault of a payload and not only the first, keep
//! numbers as they were written, and not depend on `serde_json/arbitrary_precision`, which `rust-ocpp` switches on and which
//! shows numbers to visitors as maps. Nothing here recurses, so no nesting can exhaust the stack; and on text that is not
//! valid JSON, which cannot get here, it would end early rather than panic.

mod number;
mod text;

pub(crate) use number::{integral, is_multiple_of_a_tenth, to_integer};
pub(crate) use text::Text;

/// What kind of value begins at the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    List,
    Text,
    Number,
    Boolean,
    Null,
}

#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(json: &'a str) -> Cursor<'a> {
        Cursor { json, at: 0 }
    }

    pub(crate) fn kind(&mut self) -> Kind {
        match self.next_byte() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b'"') => Kind::Text,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// Steps into the object or list at the cursor. Then call [`Cursor::member`] or [`Cursor::element`] until it
    /// ends, and consume one value after each.
    pub(crate) fn enter(&mut self) {
        self.next_byte();
        self.at += 1;
    }

    /// The key of the object's next member; the cursor then stands at its value. `None` steps out of the object.
    pub(crate) fn member(&mut self) -> Option<Text<'a>> {
        if !self.has_next() {
            return None;
        }
        let key = self.text();
        if self.next_byte() == Some(b':') {
            self.at += 1;
        }
        Some(key)
    }

    /// Whether the list has another element; the cursor then stands at it. `false` steps out of the list.
    pub(crate) fn element(&mut self) -> bool {
        self.has_next()
    }

    /// Consumes the string at the cursor.
    pub(crate) fn text(&mut self) -> Text<'a> {
        Text::quoted(self.skip())
    }

    /// Consumes the value at the cursor, whatever it is, and returns its JSON.
    pub(crate) fn skip(&mut self) -> &'a str {
        let first = self.next_byte();
        let start = self.at;
        match first {
            Some(b'"') => self.skip_string(),
            Some(b'{' | b'[') => self.skip_nested(),
            _ => self.skip_word(),
        }
        self.json.get(start..self.at).unwrap_or_default()
    }

    fn has_next(&mut self) -> bool {
        if self.next_byte() == Some(b',') {
            self.at += 1;
        }
        match self.next_byte() {
            Some(b'}' | b']') => {
                self.at += 1;
                false
            }
            Some(_) => true,
            None => false,
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.byte() {
            self.at += match byte {
                b'\\' => 2,
                _ => 1,
            };
            if byte == b'"' {
                return;
            }
        }
    }

    fn skip_nested(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_word(&mut self) {
        while let Some(byte) = self.byte() {
            if matches!(byte, b',' | b':' | b']' | b'}') || byte.is_ascii_whitespace() {
                return;
            }
            self.at += 1;
        }
    }

    fn next_byte(&mut self) -> Option<u8> {
        while self.byte()?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.byte()
    }

    fn byte(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }
}

/// The same JSON without a space or a line break between its tokens; what stands inside strings stays.
pub(crate) fn compact(json: &str, out: &mut String) {
    let mut rest = json;
    while let Some(quote) = rest.find('"') {
        let (between, from_quote) = rest.split_at(quote);
        out.extend(between.split_ascii_whitespace());
        let string = Cursor::new(from_quote).skip();
        out.push_str(string);
        rest = from_quote.get(string.len()..).unwrap_or_default();
    }
    out.extend(rest.split_ascii_whitespace());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_walks_members_and_elements_past_whitespace_and_nesting() {
        let mut cursor = Cursor::new(" { \"a\" : [ 1 , {\"x\":\"]}\"} ] ,\n\"b\":null, \"c\\\"\":-2.5e3 } ");
        assert_eq!(cursor.kind(), Kind::Object);
        cursor.enter();
        assert_eq!(
            cursor.member().map(|key| key.decode().into_owned()).as_deref(),
            Some("a")
        );
        assert_eq!(cursor.kind(), Kind::List);
        cursor.enter();
        assert!(cursor.element());
        assert_eq!(cursor.skip(), "1");
        assert!(cursor.element());
        assert_eq!(cursor.skip(), r#"{"x":"]}"}"#);
        assert!(!cursor.element());
        assert_eq!(
            cursor.member().map(|key| key.decode().into_owned()).as_deref(),
            Some("b")
        );
        assert_eq!(cursor.kind(), Kind::Null);
        assert_eq!(cursor.skip(), "null");
        assert_eq!(
            cursor.member().map(|key| key.decode().into_owned()).as_deref(),
            Some("c\"")
        );
        assert_eq!(cursor.skip(), "-2.5e3");
        assert!(cursor.member().is_none());
    }

    #[test]
    fn deep_nesting_is_skipped_without_recursion() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(Cursor::new(&deep).skip().len(), deep.len());
    }

    #[test]
    fn compacting_keeps_numbers_key_order_and_the_inside_of_strings() {
        let mut out = String::new();
        compact(
            "{ \"z\" : 12.50 ,\r\n\t\"a\": [ \"two  words\\\" , \" , true ] }",
            &mut out,
        );
        assert_eq!(out, "{\"z\":12.50,\"a\":[\"two  words\\\" , \",true]}");
    }
}
