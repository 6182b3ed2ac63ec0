//! The name of one request, the same in its answer, in our log and in the logs of the services behind us.

use std::time::SystemTime;

use axum::extract::Request;
use http::{HeaderName, HeaderValue};
use uuid::{Builder, Uuid};

/// The header, and the metadata to services.
pub const NAME: &str = "x-request-id";
pub const HEADER: HeaderName = HeaderName::from_static(NAME);

/// Longer ids from outside are replaced.
const LONGEST: usize = 64;

/// Put into the extensions of every request.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    #[cfg(test)]
    pub fn fixed(id: &'static str) -> Self {
        Self(HeaderValue::from_static(id))
    }

    /// The id that the client sent where it is a plain word, or a new one. Anything else could forge a log line.
    fn choose(sent: Option<&HeaderValue>) -> Self {
        Self(
            sent.filter(|id| is_plain(id.as_bytes()))
                .cloned()
                .unwrap_or_else(new_id),
        )
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self(new_id())
    }
}

fn is_plain(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// A UUIDv7 whose randomness is the thread's own: the crate's would be a system call for each request.
fn new_id() -> HeaderValue {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let milliseconds = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let id = Builder::from_unix_timestamp_millis(milliseconds, &rand::random()).into_uuid();
    let mut text = Uuid::encode_buffer();
    // A UUID is always a valid header value.
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// Names the request.
pub fn identify(request: &mut Request) -> RequestId {
    let id = RequestId::choose(request.headers().get(HEADER));
    request.extensions_mut().insert(id.clone());
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(sent: &'static str) -> String {
        RequestId::choose(Some(&HeaderValue::from_static(sent)))
            .as_str()
            .to_owned()
    }

    #[test]
    fn a_well_formed_id_is_kept() {
        assert_eq!(chosen("3f2a-7.B_c"), "3f2a-7.B_c");
    }

    #[test]
    fn anything_else_is_replaced() {
        for sent in ["", "two words", "a;b", "{\"a\":1}"] {
            assert!(Uuid::parse_str(&chosen(sent)).is_ok(), "{sent}");
        }
        let long = HeaderValue::from_str(&"x".repeat(LONGEST + 1)).expect("a header value");
        assert!(Uuid::parse_str(RequestId::choose(Some(&long)).as_str()).is_ok());
    }
}
