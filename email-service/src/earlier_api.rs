//! What clients of an earlier API ask for: a welcome mail, or that the event be published which leads to one.

mod announce_user;
mod welcome_user;

pub(crate) use announce_user::announce_user;
pub(crate) use welcome_user::welcome_user;

use service_kit::reason::FieldViolation;
use voltgate_proto::email::v1::{PublishUserCreatedRequest, SendWelcomeRequest};

use crate::{address, words};

/// Somebody to welcome.
#[derive(Debug)]
pub(crate) struct NewUser {
    username: String,
    email: String,
}

impl NewUser {
    fn parse(email: &str, username: Option<String>) -> Result<Self, Vec<FieldViolation>> {
        let address = address::parse("email", email);
        let username = username.map(|name| words::username("username", name)).transpose();
        match (address, username) {
            (Ok(address), Ok(username)) => {
                let email = address.to_string();
                let username = username.unwrap_or_else(|| email.clone());
                Ok(Self { username, email })
            }
            (address, username) => Err([address.err(), username.err()].into_iter().flatten().collect()),
        }
    }
}

impl TryFrom<SendWelcomeRequest> for NewUser {
    type Error = Vec<FieldViolation>;

    fn try_from(request: SendWelcomeRequest) -> Result<Self, Self::Error> {
        Self::parse(&request.email, request.username)
    }
}

impl TryFrom<PublishUserCreatedRequest> for NewUser {
    type Error = Vec<FieldViolation>;

    fn try_from(request: PublishUserCreatedRequest) -> Result<Self, Self::Error> {
        Self::parse(&request.email, request.username)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_enough_and_is_the_name_then() {
        let user = NewUser::parse("ada@example.com", None).unwrap();
        assert_eq!(
            (user.username.as_str(), user.email.as_str()),
            ("ada@example.com", "ada@example.com")
        );
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let fields = |email: &str, username: &str| {
            let problems = NewUser::parse(email, Some(username.to_owned())).unwrap_err();
            problems.into_iter().map(|problem| problem.field).collect::<Vec<_>>()
        };
        assert_eq!(fields("ada", "ada lovelace"), ["email", "username"]);
        assert_eq!(fields("ada@example.com", "a\nb"), ["username"]);
    }
}
