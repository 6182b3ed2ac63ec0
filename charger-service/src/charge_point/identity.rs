//! What a charge point calls itself: the last segment of the URL that it connects to.

use std::fmt;

use thiserror::Error;

/// The longest that OCPP allows.
pub const MAX_LENGTH: usize = 48;

/// Paths below `/ocpp/` and `/ocpp/charge-points/` that are not charge points.
const RESERVED: [&str; 23] = [
    "audit",
    "campaigns",
    "certificate-authority",
    "charge-points",
    "charge-records",
    "charging-profile-templates",
    "charging-profiles",
    "commands",
    "data-transfer-vendors",
    "dead-letters",
    "events",
    "files",
    "id-tokens",
    "import",
    "my",
    "reservations",
    "security-events",
    "sites",
    "strays",
    "tariffs",
    "transactions",
    "transfers",
    "unknown-charge-points",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(String);

/// The rest of a sentence that starts with the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdentityError {
    #[error("must have 1 to 48 characters")]
    Length,
    #[error("must consist of printable characters")]
    Unprintable,
    #[error("must not begin or end with a space")]
    Padded,
    #[error("is the path of something else")]
    Reserved,
}

impl Identity {
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        if !(1..=MAX_LENGTH).contains(&text.chars().count()) {
            Err(IdentityError::Length)
        } else if text
            .chars()
            .any(|character| character.is_control() || character == '\u{fffd}')
        {
            Err(IdentityError::Unprintable)
        } else if text.trim() != text {
            Err(IdentityError::Padded)
        } else if RESERVED.contains(&text) || matches!(text, "." | "..") {
            Err(IdentityError::Reserved)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Basic authentication ends the user name at the first colon.
    pub fn fits_basic_authentication(&self) -> bool {
        !self.0.contains(':')
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_slashes_and_accents_are_seen_in_the_wild() {
        for text in ["CP1", "Säule 7", "site/1/left", "a", &"é".repeat(48), "CHARGE-POINTS"] {
            assert!(Identity::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_told_from_something_else_is_refused() {
        for (text, error) in [
            ("", IdentityError::Length),
            (&*"x".repeat(49), IdentityError::Length),
            ("a\nb", IdentityError::Unprintable),
            (" CP1", IdentityError::Padded),
            ("commands", IdentityError::Reserved),
            ("..", IdentityError::Reserved),
        ] {
            assert_eq!(Identity::parse(text), Err(error), "{text:?}");
        }
    }
}
