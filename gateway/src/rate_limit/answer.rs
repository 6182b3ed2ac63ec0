//! What somebody is told of the limits that they are under (draft-ietf-httpapi-ratelimit-headers-10), as auth-service tells it of its own.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::BytesMut;
use http::header::{HeaderMap, HeaderValue};
use service_kit::reason::{Reason, whole_seconds};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::policy::Policy;
use crate::headers::{RATELIMIT, RATELIMIT_POLICY};

/// How much is left of the limit that is nearest, of those that a request was counted under; nothing where there was none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing<'l>(Option<(&'l Policy, u32)>);

impl<'l> Standing<'l> {
    /// Itself, or this where less is left of it. Of two that are as near it is the narrower, which comes first.
    pub(super) fn or(self, policy: &'l Policy, remaining: u32) -> Self {
        let is_nearer = self.0.is_none_or(|(_, nearest)| remaining < nearest);
        if is_nearer {
            Self(Some((policy, remaining)))
        } else {
            self
        }
    }

    #[cfg(test)]
    pub(super) fn told(&self) -> Option<(&str, u32)> {
        self.0.map(|(policy, remaining)| (policy.name.as_str(), remaining))
    }

    /// Tells it with an answer. What its service has said of a limit of its own stays.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if let Some((policy, remaining)) = self.0
            && !headers.contains_key(RATELIMIT)
        {
            tell(policy, remaining, policy.until_all_there(remaining), headers);
        }
    }

    /// The same with a refusal for another reason.
    pub fn with(&self, mut status: Status) -> Status {
        let mut headers = std::mem::take(status.metadata_mut()).into_headers();
        self.tell(&mut headers);
        *status.metadata_mut() = MetadataMap::from_headers(headers);
        status
    }
}

/// Too many requests, and how long to wait before the next.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'l> {
    pub policy: &'l Policy,
    pub wait: Duration,
}

impl From<Refusal<'_>> for Status {
    fn from(refusal: Refusal<'_>) -> Self {
        let message = "There were too many requests of late; wait before the next one";
        let mut status = Reason::TooManyRequests.retry_after(refusal.wait, message);
        let mut headers = HeaderMap::with_capacity(2);
        // The same time as `Retry-After` says: a client must not have to choose between two.
        tell(refusal.policy, 0, refusal.wait, &mut headers);
        *status.metadata_mut() = MetadataMap::from_headers(headers);
        status
    }
}

/// `RateLimit-Policy`, how many there are in how many seconds, and `RateLimit`, how many of these are left and for how many seconds they
/// have to do: when these have passed, all are there again, or, where none is left, one.
fn tell(policy: &Policy, remaining: u32, time: Duration, headers: &mut HeaderMap) {
    let mut left = BytesMut::with_capacity(64);
    let written = write!(left, "\"{}\";r={remaining};t={}", policy.name, whole_seconds(time));
    if let (Ok(()), Ok(left)) = (written, HeaderValue::from_maybe_shared(left.freeze())) {
        headers.insert(RATELIMIT, left);
        headers.insert(RATELIMIT_POLICY, policy.header.clone());
    }
}
