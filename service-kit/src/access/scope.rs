//! What an API key may be used for: the RPCs of an upstream that read, or all of them.

use std::fmt;

/// Whether an RPC changes anything.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verb {
    Read,
    /// Whoever may change things may read them too.
    Write,
}

/// Such as `ocpp:read`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Scope {
    /// The name that a service's option `voltgate.api.v1.upstream` gives.
    pub upstream: Box<str>,
    pub verb: Verb,
}

impl Scope {
    pub fn parse(text: &str) -> Option<Self> {
        let (upstream, verb) = text.split_once(':')?;
        let verb = match verb {
            "read" => Verb::Read,
            "write" => Verb::Write,
            _ => return None,
        };
        let upstream = upstream.into();
        Some(Self { upstream, verb })
    }

    fn includes(&self, other: &Self) -> bool {
        self.upstream == other.upstream && self.verb >= other.verb
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            Verb::Read => "read",
            Verb::Write => "write",
        };
        write!(formatter, "{}:{verb}", self.upstream)
    }
}

/// What one API key may be used for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Reads the claim `scope` of an access token (RFC 9068, section 2.2.3). What is no scope of ours allows nothing.
    pub fn parse(claim: &str) -> Self {
        claim.split(' ').filter_map(Scope::parse).collect()
    }

    pub fn allow(&self, wanted: &Scope) -> bool {
        self.0.iter().any(|scope| scope.includes(wanted))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_as_it_is_written() {
        for text in ["ocpp:read", "auth:write"] {
            assert_eq!(Scope::parse(text).map(|scope| scope.to_string()).as_deref(), Some(text));
        }
        for text in ["", "ocpp", "ocpp:", "ocpp:Read", "ocpp:delete", "read:ocpp"] {
            assert_eq!(Scope::parse(text), None, "{text}");
        }
    }

    #[test]
    fn to_write_includes_to_read_and_nothing_includes_another_upstream() {
        let read = Scopes::parse("ocpp:read");
        let write = Scopes::parse("ocpp:write auth:read whatever");
        for (scopes, wanted, allowed) in [
            (&read, "ocpp:read", true),
            (&read, "ocpp:write", false),
            (&read, "auth:read", false),
            (&write, "ocpp:read", true),
            (&write, "ocpp:write", true),
            (&write, "auth:read", true),
            (&write, "auth:write", false),
            (&Scopes::parse(""), "ocpp:read", false),
        ] {
            let wanted = Scope::parse(wanted).expect("a scope");
            assert_eq!(scopes.allow(&wanted), allowed, "{scopes:?}, {wanted}");
        }
    }
}
