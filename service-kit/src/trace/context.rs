//! A place in a trace as it travels: `traceparent` and `tracestate` (W3C Trace Context).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanId, TraceId};

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The only flag that is known: whoever wrote it may have recorded what it did.
const SAMPLED: u8 = 1;

/// `00-` with two ids and flags (section 3.2.2.1).
const LENGTH: usize = 55;

/// What is passed on of `tracestate` (section 3.3.1.3 asks for at least 512 characters), and its members.
const LONGEST_STATE: usize = 512;
const MOST_MEMBERS: usize = 32;

/// Where in which trace something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub sampled: bool,
    /// What other systems have to say of it; passed on unread.
    pub state: Option<HeaderValue>,
}

impl Context {
    /// The beginning of a trace that is not recorded.
    pub fn begin() -> Self {
        let (trace, span): (u128, u64) = rand::random();
        Self {
            // An id of zeros means none.
            trace_id: TraceId::from(trace.max(1)),
            span_id: SpanId::from(span.max(1)),
            sampled: false,
            state: None,
        }
    }

    /// What a caller says. Nothing where it says nothing, or what the standard does not know: then a trace begins (section 4.3).
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = parents.next()?;
        if parents.next().is_some() {
            return None;
        }
        let mut context = Self::parse(parent.as_bytes())?;
        context.state = state(headers);
        Some(context)
    }

    /// Reads a `traceparent`. Of a version that is not known the part that is known counts (section 3.2.4).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let well_formed = match &known[..2] {
            b"ff" => false,
            b"00" => rest.is_empty(),
            version => is_hex(version) && (rest.is_empty() || rest[0] == b'-'),
        };
        if !well_formed || known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
            return None;
        }
        let context = Self {
            trace_id: TraceId::from(hex(&known[3..35])?),
            span_id: SpanId::from(u64::try_from(hex(&known[36..52])?).ok()?),
            sampled: u8::try_from(hex(&known[53..])?).ok()? & SAMPLED != 0,
            state: None,
        };
        let named = context.trace_id != TraceId::INVALID && context.span_id != SpanId::INVALID;
        named.then_some(context)
    }

    /// Says it to whoever is called, instead of what the headers may say.
    pub fn write(&self, headers: &mut HeaderMap) {
        // Digits and dashes are always a header's value.
        if let Ok(parent) = HeaderValue::try_from(self.to_string()) {
            headers.insert(TRACEPARENT, parent);
        }
        match &self.state {
            Some(state) => headers.insert(TRACESTATE, state.clone()),
            None => headers.remove(TRACESTATE),
        };
    }
}

/// As a `traceparent`.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.sampled { SAMPLED } else { 0 };
        write!(f, "00-{}-{}-{flags:02x}", self.trace_id, self.span_id)
    }
}

/// Lowercase digits only (section 3.2.2).
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

fn is_hex(digits: &[u8]) -> bool {
    hex(digits).is_some()
}

/// `tracestate`, which may come in several headers. One that cannot be passed on as it is says nothing of the trace.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(TRACESTATE).iter();
    let first = values.next()?.to_str().ok()?;
    let whole = values.try_fold(first.to_owned(), |whole, value| {
        let value = value.to_str().ok()?;
        (whole.len() + value.len() < LONGEST_STATE).then(|| format!("{whole},{value}"))
    })?;
    let members = whole.split(',').map(str::trim).filter(|member| !member.is_empty());
    let count = members.clone().count();
    let well_formed =
        (1..=MOST_MEMBERS).contains(&count) && whole.len() <= LONGEST_STATE && members.clone().all(is_member);
    well_formed.then(|| HeaderValue::from_str(&whole).ok()).flatten()
}

/// `key=value` (sections 3.3.1.3.1 and 3.3.1.3.2).
fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else {
        return false;
    };
    let key_is_well_formed = key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.len() <= 256
        && key.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@')
        });
    key_is_well_formed
        && (1..=256).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_parent_is_read_and_said_again_as_it_was() {
        let context = Context::read(&headers(&[("traceparent", PARENT), ("tracestate", "a=1,b@c=2")])).unwrap();
        assert!(context.sampled);
        let mut said = headers(&[("traceparent", "x"), ("traceparent", "y"), ("tracestate", "z=1")]);
        context.write(&mut said);
        assert_eq!(said, headers(&[("traceparent", PARENT), ("tracestate", "a=1,b@c=2")]));
    }

    #[test]
    fn what_the_standard_does_not_know_begins_a_trace() {
        for malformed in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        ] {
            assert_eq!(Context::parse(malformed.as_bytes()), None, "{malformed}");
        }
        let twice = headers(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        assert_eq!(Context::read(&twice), None);
    }

    #[test]
    fn of_a_later_version_what_is_known_counts() {
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more";
        let context = Context::parse(later.as_bytes()).unwrap();
        assert_eq!(context.to_string(), PARENT);
    }

    #[test]
    fn a_state_that_cannot_be_passed_on_is_left_out_and_the_parent_kept() {
        let long = format!("a={}", "x".repeat(LONGEST_STATE));
        let many = (0..=MOST_MEMBERS)
            .map(|number| format!("k{number}=v"))
            .collect::<Vec<_>>()
            .join(",");
        for malformed in ["", "a", "A=1", "a=", "=1", "a=1,b", "a=1=2", &long, &many] {
            let context = Context::read(&headers(&[("traceparent", PARENT), ("tracestate", malformed)])).unwrap();
            assert_eq!(context.state, None, "{malformed}");
        }
        let apart = [("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")];
        let state = Context::read(&headers(&apart)).unwrap().state;
        assert_eq!(state.unwrap(), "a=1,b=2");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_is_read_or_not_and_never_breaks_anything(text in any::<Vec<u8>>()) {
            if let Some(context) = Context::parse(&text) {
                prop_assert_eq!(Context::parse(context.to_string().as_bytes()), Some(context));
            }
        }

        #[test]
        fn what_begins_can_be_read(sampled: bool) {
            let begun = Context { sampled, ..Context::begin() };
            prop_assert_eq!(Context::parse(begun.to_string().as_bytes()), Some(begun));
        }
    }
}
