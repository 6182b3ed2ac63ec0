//! What never stands in a log line, whoever wrote it and wherever it came from.
//!
//! Whoever logs names no secret in the first place. This is for the day on which somebody does, or a library's error repeats what
//! it was given: what has the form of a credential is taken out of each line, and what stands under a name of one is never written.

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tracing_subscriber::fmt::MakeWriter;

pub const REDACTED: &str = "[redacted]";

/// Parts of the names of fields that are not written.
const SECRET_NAMES: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "cookie",
    "api_key",
    "apikey",
    "credential",
];

/// Parameters of a query whose values are secret.
const SECRET_PARAMETERS: [&str; 6] = ["token=", "password=", "secret=", "code=", "key=", "signature="];

/// Shorter ones after `Bearer` are words.
const SHORTEST_TOKEN: usize = 16;

/// Whether what stands under a name is not to be written.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// The line without credentials.
pub fn redact(line: &str) -> Cow<'_, str> {
    // Most lines have none of what a credential begins with.
    let begins = ["earer ", "asic ", "EARER ", "ASIC ", "eyJ", "vgk_", "://"];
    if !line.contains(['?', '&']) && !begins.iter().any(|begin| line.contains(begin)) {
        return Cow::Borrowed(line);
    }
    let mut clean = String::new();
    let mut kept = 0;
    let mut at = 0;
    while at < line.len() {
        match secret_at(line, at) {
            Some((from, to)) => {
                clean.push_str(&line[kept..from]);
                clean.push_str(REDACTED);
                (kept, at) = (to, to);
            }
            None => at += line[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    if kept == 0 {
        return Cow::Borrowed(line);
    }
    clean.push_str(&line[kept..]);
    Cow::Owned(clean)
}

/// The secret that what stands here announces, where it does.
fn secret_at(line: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &line[at..];
    match rest.as_bytes()[0] {
        b'B' | b'b' => after_scheme(rest),
        b'e' if rest.starts_with("eyJ") => {
            let token = run(rest, is_token);
            let is_one = token.matches('.').count() == 2 && token.len() > SHORTEST_TOKEN;
            is_one.then_some((0, token.len()))
        }
        b'v' if rest.starts_with("vgk_") => {
            let key = run(rest, is_token);
            (key.len() > SHORTEST_TOKEN).then_some((0, key.len()))
        }
        b':' if rest.starts_with("://") => {
            let authority = run(&rest[3..], |byte| {
                !matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'\\') && !byte.is_ascii_whitespace()
            });
            let user_info = &authority[..authority.rfind('@')?];
            let password = user_info.find(':')? + 1;
            Some((3 + password, 3 + user_info.len()))
        }
        b'?' | b'&' => SECRET_PARAMETERS.iter().find_map(|name| {
            let named = run(&rest[1..], |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=')
            });
            let end = named.to_ascii_lowercase().find(name)? + name.len();
            let value = run(&rest[1 + end..], |byte| {
                !matches!(byte, b'&' | b'"' | b'\'' | b'#' | b'\\') && !byte.is_ascii_whitespace()
            });
            (!value.is_empty()).then_some((1 + end, 1 + end + value.len()))
        }),
        _ => None,
    }
    .map(|(from, to)| (at + from, at + to))
}

/// `Bearer` and a token, or `Basic` and what decodes to a name and a password (RFC 6750, RFC 7617).
fn after_scheme(rest: &str) -> Option<(usize, usize)> {
    let scheme = rest.split(' ').next()?;
    let value = run(rest.get(scheme.len() + 1..)?, is_token);
    let is_secret = if scheme.eq_ignore_ascii_case("bearer") {
        value.len() >= SHORTEST_TOKEN
    } else if scheme.eq_ignore_ascii_case("basic") {
        STANDARD.decode(value).is_ok_and(|decoded| decoded.contains(&b':'))
    } else {
        false
    };
    is_secret.then_some((scheme.len() + 1, scheme.len() + 1 + value.len()))
}

fn run(text: &str, belongs: impl Fn(u8) -> bool) -> &str {
    let end = text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len());
    // Bytes that do not belong are ASCII, or the first of a character.
    text.get(..end).unwrap_or_default()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// A writer of whole lines that takes secrets out of each.
#[derive(Debug)]
pub struct Redacting<W>(pub W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Redacting<W> {
    type Writer = Redacting<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Redacting(self.0.make_writer())
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        Redacting(self.0.make_writer_for(meta))
    }
}

impl<W: Write> Write for Redacting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line).map(redact) {
            Ok(Cow::Owned(clean)) => self.0.write_all(clean.as_bytes())?,
            Ok(Cow::Borrowed(_)) | Err(_) => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_the_form_of_a_credential_is_taken_out() {
        for (line, clean) in [
            ("got Bearer abcdefghijklmnopqrst.uv!", "got Bearer [redacted]!"),
            (
                "authorization: basic Q1AxOmh1bnRlcjI=",
                "authorization: basic [redacted]",
            ),
            ("a eyJhbGciOi.eyJzdWIiOiI.c2lnbmF0dXJl b", "a [redacted] b"),
            ("key vgk_0123456789abcdefghij", "key [redacted]"),
            (
                "amqp://user:p%40ss@host:5672/%2f is away",
                "amqp://user:[redacted]@host:5672/%2f is away",
            ),
            (
                "GET /x?a=1&access_token=hunter2&b=2",
                "GET /x?a=1&access_token=[redacted]&b=2",
            ),
            (
                r#"{"url":"http://x/?code=123456"}"#,
                r#"{"url":"http://x/?code=[redacted]"}"#,
            ),
        ] {
            assert_eq!(redact(line), clean);
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for line in [
            "Basic authentication is off",
            "a Bearer is missing",
            "http://host:8080/path?page=2",
            "eyJ is no token, nor is vgk_",
            "B\u{e4}r Bearer \u{e4}",
            "b",
            "",
        ] {
            assert_eq!(redact(line), line);
            assert!(matches!(redact(line), Cow::Borrowed(_)), "{line}");
        }
    }

    #[test]
    fn names_of_secrets_are_known_in_any_form() {
        for name in [
            "password",
            "newPassword",
            "station_token",
            "Set-Cookie",
            "client_secret",
            "Authorization",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["route", "identity", "milliseconds", "key"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_line_can_be_looked_through(line in ".{0,200}") {
            let _clean = redact(&line);
        }

        #[test]
        fn a_token_is_found_wherever_it_stands(before in ".{0,50}", token in "[A-Za-z0-9_-]{20,80}") {
            let line = format!("{before} Bearer {token} after");
            prop_assert!(!redact(&line).contains(&token), "{}", line);
        }
    }
}
