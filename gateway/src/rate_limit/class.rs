//! What is counted together.

use http::Method;
use voltgate_proto::api::v1::{self as api, RateClass};

/// Requests that are counted alike, because they cost alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    Read,
    Write,
    SignIn,
    Refresh,
    Heavy,
    Stream,
    Device,
    Transfer,
    /// Frames of OCPP by POST. It is the door's alone, and no RPC's.
    Frame,
    /// API keys that this gateway has to ask auth-service about. No RPC's either: it comes before it is known what is asked by whom.
    Credential,
}

impl Class {
    pub const ALL: [Self; 10] = [
        Self::Read,
        Self::Write,
        Self::SignIn,
        Self::Refresh,
        Self::Heavy,
        Self::Stream,
        Self::Device,
        Self::Transfer,
        Self::Frame,
        Self::Credential,
    ];

    /// That of an RPC: the one that it names, or what follows from how it is called.
    pub fn of(options: &api::Endpoint, method: Option<&Method>, streaming: bool) -> Self {
        match options.rate_class() {
            RateClass::Unspecified if streaming => Self::Stream,
            RateClass::Unspecified if method == Some(&Method::GET) => Self::Read,
            RateClass::Unspecified | RateClass::Write => Self::Write,
            RateClass::Read => Self::Read,
            RateClass::SignIn => Self::SignIn,
            RateClass::Heavy => Self::Heavy,
            RateClass::Stream => Self::Stream,
            RateClass::Device => Self::Device,
            RateClass::Refresh => Self::Refresh,
            RateClass::Transfer => Self::Transfer,
        }
    }

    /// As clients see it in `RateLimit-Policy`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::SignIn => "sign-in",
            Self::Refresh => "refresh",
            Self::Heavy => "heavy",
            Self::Stream => "stream",
            Self::Device => "device",
            Self::Transfer => "transfer",
            Self::Frame => "frame",
            Self::Credential => "credential",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_is_named_counts_and_otherwise_how_it_is_called() {
        let named = api::Endpoint {
            rate_class: RateClass::Heavy.into(),
            ..api::Endpoint::default()
        };
        assert_eq!(Class::of(&named, Some(&Method::GET), true), Class::Heavy);
        let of = |method, streaming| Class::of(&api::Endpoint::default(), method, streaming);
        assert_eq!(of(Some(&Method::GET), true), Class::Stream);
        assert_eq!(of(Some(&Method::GET), false), Class::Read);
        assert_eq!(of(Some(&Method::PATCH), false), Class::Write);
        assert_eq!(of(None, false), Class::Write);
    }
}
