//! Which events a webhook can have.

use prost::Name;
use service_kit::bus::rabbitmq::topology::EMAIL_SERVICE;
use voltgate_proto::events::v1::SignupWithKnownEmail;

/// Their full names. None holds a code; and whoever has the mailbox of an address that a stranger signs up with is no program's
/// business.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    let types = EMAIL_SERVICE.types.iter().copied();
    types.filter(|name| *name != SignupWithKnownEmail::full_name())
}

pub(super) fn is_one(name: &str) -> bool {
    all().any(|one| one == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_voltgate_and_a_mailbox_goes_to_no_program() {
        for (name, expected) in [
            ("AccountSignedUp", true),
            ("AccountDeleted", true),
            ("SignupWithKnownEmail", false),
            ("PasswordResetRequested", false),
            ("EmailVerificationRequested", false),
        ] {
            assert_eq!(is_one(&format!("voltgate.events.v1.{name}")), expected, "{name}");
        }
    }
}
