//! What never stands in a log line, whoever wrote it and wherever it came from.
//!
//! Whoever logs names no secret in the first place. This is for the day on which somebody does, or a library's error repeats what
//! it was given: what has the form of a credential is taken out of each line, and what stands under a name of one is never written.

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tracing_subscriber::fmt::MakeWriter;

pub const REDACTED: &str = "[redacted]";

/// Parameters of a query whose values are secret.
const SECRET_PARAMETERS: [&str; 6] = ["token=", "password=", "secret=", "code=", "key=", "signature="];

/// What credentials of ours begin with: API keys, refresh tokens, and the secrets that webhooks are signed with.
const PREFIXES: [&str; 3] = ["vgk_", "vgr_", "whsec_"];

/// Shorter ones after `Bearer` are words.
const SHORTEST_TOKEN: usize = 16;

/// As clients write it, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Whether what stands under a name is not to be written.
pub fn is_secret(name: &str) -> bool {
    let name = name.as_bytes();
    (0..name.len()).any(|at| {
        let words: &[&str] = match name[at].to_ascii_lowercase() {
            b'a' => &["authorization", "api_key", "apikey"],
            b'c' => &["cookie", "credential"],
            b'p' => &["password", "passwd"],
            b's' => &["secret"],
            b't' => &["token"],
            _ => &[],
        };
        words.iter().any(|word| starts_with(&name[at..], word))
    })
}

/// Whatever the case.
fn starts_with(text: &[u8], word: &str) -> bool {
    let start = text.get(..word.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
}

/// The line without credentials.
pub fn redact(line: &str) -> Cow<'_, str> {
    let mut look = Look {
        line: line.as_bytes(),
        no_token_before: 0,
        no_user_before: 0,
    };
    let mut clean = String::new();
    let mut kept = 0;
    let mut at = 0;
    while at < line.len() {
        match look.secret_at(at) {
            Some((from, to)) => {
                // Each secret begins after ASCII and ends before it, so both are between characters.
                clean.push_str(line.get(kept..from).unwrap_or_default());
                clean.push_str(REDACTED);
                (kept, at) = (to, to);
            }
            None => at += 1,
        }
    }
    if kept == 0 {
        return Cow::Borrowed(line);
    }
    clean.push_str(line.get(kept..).unwrap_or_default());
    Cow::Owned(clean)
}

/// Goes through a line once: what was looked at and holds nothing is remembered, so that no line, whoever made it up, takes longer than
/// its length.
struct Look<'l> {
    line: &'l [u8],
    /// No JSON Web Token begins before here, and no URL with a password.
    no_token_before: usize,
    no_user_before: usize,
}

impl Look<'_> {
    /// The secret that what stands here announces, where it does.
    fn secret_at(&mut self, at: usize) -> Option<(usize, usize)> {
        let rest = &self.line[at..];
        match rest[0] {
            b'B' | b'b' => after_scheme(rest),
            b'e' if rest.starts_with(b"eyJ") => self.web_token(at),
            b'v' | b'w' => with_prefix(rest),
            b'P' | b'p' => of_statement(rest),
            b':' if rest.starts_with(b"://") => self.password_of_url(at),
            b'?' | b'&' => of_query(rest),
            _ => None,
        }
        .map(|(from, to)| (at + from, at + to))
    }

    /// What else is signed or encrypted the same way has more parts.
    fn web_token(&mut self, at: usize) -> Option<(usize, usize)> {
        if at < self.no_token_before {
            return None;
        }
        let token = run(&self.line[at..], is_token);
        let dots = token.iter().filter(|byte| **byte == b'.').count();
        if dots >= 2 && token.len() > SHORTEST_TOKEN {
            // In JSON, the first letter may be the end of a character that is escaped.
            let before = &self.line[..at];
            let is_of_escape = before.ends_with(b"\\u000") || before.ends_with(b"\\u001");
            return Some((usize::from(is_of_escape), token.len()));
        }
        self.no_token_before = at + token.len();
        None
    }

    /// Passwords in URLs hold what they should not, such as a slash. So what stands before the last `@` belongs to it, and rather too
    /// much is taken out than too little.
    fn password_of_url(&mut self, at: usize) -> Option<(usize, usize)> {
        if at < self.no_user_before {
            return None;
        }
        let rest = &self.line[at + 3..];
        let user = run(rest, |byte| {
            !matches!(byte, b':' | b'/' | b'?' | b'#' | b'@' | b'"') && !byte.is_ascii_whitespace()
        });
        if rest.get(user.len()) != Some(&b':') {
            return None;
        }
        let url = &rest[..end_within_quotes(rest, |byte| byte.is_ascii_whitespace())];
        let Some(end) = url.iter().rposition(|byte| *byte == b'@') else {
            self.no_user_before = at + 3 + url.len();
            return None;
        };
        Some((3 + user.len() + 1, 3 + end))
    }
}

/// Where `ends` is true of a byte first, or a quote stands that is not escaped: nothing goes beyond what it stands in.
fn end_within_quotes(text: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    let mut is_escaped = false;
    let is_end = |byte: &u8| {
        let is_end = ends(*byte) || *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    };
    text.iter().position(is_end).unwrap_or(text.len())
}

/// `Bearer` and a token, or `Basic` and what decodes to a name and a password (RFC 6750, RFC 7617).
fn after_scheme(rest: &[u8]) -> Option<(usize, usize)> {
    if starts_with(rest, "bearer ") {
        let token = run(&rest[7..], is_token);
        return (token.len() >= SHORTEST_TOKEN).then_some((7, 7 + token.len()));
    }
    if starts_with(rest, "basic ") {
        let value = run(&rest[6..], |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
        });
        let padding = run(&rest[6 + value.len()..], |byte| byte == b'=');
        let decoded = BASE64.decode(
            value
                .iter()
                .map(|byte| match byte {
                    b'-' => b'+',
                    b'_' => b'/',
                    other => *other,
                })
                .collect::<Vec<_>>(),
        );
        let is_secret = decoded.is_ok_and(|decoded| decoded.contains(&b':'));
        return is_secret.then_some((6, 6 + value.len() + padding.len()));
    }
    None
}

/// A credential of ours.
fn with_prefix(rest: &[u8]) -> Option<(usize, usize)> {
    PREFIXES.iter().find(|prefix| rest.starts_with(prefix.as_bytes()))?;
    let secret = run(rest, is_token);
    (secret.len() > SHORTEST_TOKEN).then_some((0, secret.len()))
}

/// A password that is set by a statement, up to the quote that ends it; one within is doubled.
fn of_statement(rest: &[u8]) -> Option<(usize, usize)> {
    const START: &str = "password '";
    if !starts_with(rest, START) {
        return None;
    }
    let mut end = START.len();
    loop {
        end += end_within_quotes(&rest[end..], |byte| byte == b'\'');
        if !rest[end..].starts_with(b"''") {
            return Some((START.len(), end));
        }
        end += 2;
    }
}

/// The value of a parameter that is secret.
fn of_query(rest: &[u8]) -> Option<(usize, usize)> {
    let named = run(&rest[1..], |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=')
    });
    SECRET_PARAMETERS.iter().find_map(|name| {
        let at = (0..named.len()).find(|at| starts_with(&named[*at..], name))?;
        let start = 1 + at + name.len();
        let value = run(&rest[start..], |byte| {
            !matches!(byte, b'&' | b'"' | b'\'' | b'#' | b'\\') && !byte.is_ascii_whitespace()
        });
        (!value.is_empty()).then_some((start, start + value.len()))
    })
}

fn run(text: &[u8], belongs: impl Fn(u8) -> bool) -> &[u8] {
    let end = text.iter().position(|byte| !belongs(*byte)).unwrap_or(text.len());
    &text[..end]
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
                "postgres://user:a/b?c#d@e@host/db: timed out",
                "postgres://user:[redacted]@host/db: timed out",
            ),
            (
                r#"{"url":"redis://:a\"b@host","mail":"c@d"}"#,
                r#"{"url":"redis://:[redacted]@host","mail":"c@d"}"#,
            ),
            ("refreshed vgr_0123456789abcdefghij.", "refreshed [redacted]"),
            ("signed by whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "signed by [redacted]"),
            ("sent Basic Q1AxOmh1bnRlcjI, twice", "sent Basic [redacted], twice"),
            ("it was Basic Q1AxOmh1bnRlcjI.", "it was Basic [redacted]."),
            (
                "ALTER ROLE a LOGIN PASSWORD 'it''s me' NOSUPERUSER",
                "ALTER ROLE a LOGIN PASSWORD '[redacted]' NOSUPERUSER",
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
            r#"{"url":"http://host:8080/path","mail":"c@d"}"#,
            "http://host/a:b@c",
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

    /// Whoever can have something logged must not be able to have the log wait.
    #[test]
    fn a_long_line_takes_no_longer_than_its_length() {
        for part in [
            "b",
            "eyJ",
            "://a:",
            "://a",
            "Bearer ",
            "basic a",
            "vgk_",
            "?token",
            "password 'a",
            "\\\"",
        ] {
            let line = part.repeat(2_000_000 / part.len());
            let started = std::time::Instant::now();
            let _clean = redact(&line);
            assert!(
                started.elapsed() < std::time::Duration::from_secs(5),
                "{part}: {:?}",
                started.elapsed()
            );
        }
    }

    proptest! {
        #[test]
        fn any_line_can_be_looked_through(line in ".{0,200}") {
            let _clean = redact(&line);
        }

        #[test]
        fn a_line_that_is_written_as_json_stays_json(fields in prop::collection::vec(".{0,20}(://a:|Basic |\u{e}yJa.b.cdefghijklmnop|\u{1e}yJa.b.cdefghijklmnop|password '|@|\"|\\\\)?.{0,20}", 1..5)) {
            let line = serde_json::to_string(&fields).unwrap();
            let clean = redact(&line);
            prop_assert!(serde_json::from_str::<Vec<String>>(&clean).is_ok(), "{} {}", line, clean);
        }

        #[test]
        fn a_token_is_found_wherever_it_stands(before in ".{0,50}", token in "[A-Za-z0-9_-]{20,80}") {
            let line = format!("{before} Bearer {token} after");
            prop_assert!(!redact(&line).contains(&token), "{}", line);
        }
    }
}
