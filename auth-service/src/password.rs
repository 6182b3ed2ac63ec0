//! What counts as a password: any 8 to 256 characters that nobody would guess first. There are no rules of composition,
//! nothing is trimmed, cut off or folded, and no service is asked: the list of common passwords is built in.

pub mod change;
pub mod forgotten;
pub mod reset;
pub mod rpc;

use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use service_kit::access::Client;
use service_kit::database;
use service_kit::event::{self, Event};
use service_kit::reason::FieldViolation;
use thiserror::Error;
use uuid::Uuid;
use voltgate_proto::events::v1::PasswordChanged;

use crate::State;
use crate::username::{Username, key_of};

const SHORTEST: usize = 8;
const LONGEST: usize = 256;
const GENERATED_LENGTH: usize = 24;

/// The best known of the passwords that leaks have shown to be common, one a line, those too short to pass left out.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// A password good enough to be set. Its `Debug` hides it.
#[derive(Clone)]
pub struct Password(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PasswordProblem {
    #[error("has fewer than {SHORTEST} characters")]
    TooShort,
    #[error("has more than {LONGEST} characters")]
    TooLong,
    #[error("is among the most common passwords")]
    Common,
    #[error("contains the username")]
    ContainsUsername,
}

impl Password {
    /// Says everything that is wrong with `text` at once. Without a username, because that did not parse, nothing is
    /// said about it.
    pub fn parse(text: &str, username: Option<&Username>) -> Result<Self, Vec<PasswordProblem>> {
        let length = text.chars().count();
        let contains_username = username.is_some_and(|name| key_of(text).contains(&name.key()));
        let problems: Vec<PasswordProblem> = [
            (length < SHORTEST, PasswordProblem::TooShort),
            (length > LONGEST, PasswordProblem::TooLong),
            (COMMON.contains(text), PasswordProblem::Common),
            (contains_username, PasswordProblem::ContainsUsername),
        ]
        .into_iter()
        .filter_map(|(broken, problem)| broken.then_some(problem))
        .collect();
        if problems.is_empty() {
            Ok(Self(text.to_owned()))
        } else {
            Err(problems)
        }
    }

    /// Nobody's choice: letters and digits worth more than 128 bits.
    pub fn generate() -> Self {
        Self(
            rand::rng()
                .sample_iter(Alphanumeric)
                .take(GENERATED_LENGTH)
                .map(char::from)
                .collect(),
        )
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A password out of the field of a request.
///
/// # Errors
/// All that is wrong with it, under the name of the field.
pub fn of_field(text: &str, field: &str, username: Option<&Username>) -> Result<Password, Vec<FieldViolation>> {
    Password::parse(text, username).map_err(|problems| {
        let violations = problems
            .iter()
            .map(|problem| FieldViolation::new(field, problem.to_string()));
        violations.collect()
    })
}

/// The name that a new password of this account must not hold.
async fn username_of(state: &State, account: Uuid) -> Result<Option<Username>, sqlx::Error> {
    let mut connection = database::begin(&state.database).await?;
    let name = sqlx::query_scalar!("SELECT username FROM authentication.account WHERE id = $1", account)
        .fetch_optional(&mut *connection)
        .await?;
    Ok(name.and_then(|name| Username::parse(&name).ok()))
}

/// Tells the account's owner that the password is another one now.
fn changed(account: Uuid, username: String, email: Option<String>, client: &Client, now: DateTime<Utc>) -> Event {
    let changed = PasswordChanged {
        account_id: account.to_string(),
        username,
        email,
        address: client.address.to_string(),
        device: client.device.clone(),
    };
    event::new(crate::NAME, now, &changed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ada() -> Username {
        Username::parse("Ada").unwrap()
    }

    fn problems(text: &str) -> Vec<PasswordProblem> {
        Password::parse(text, Some(&ada())).err().unwrap_or_default()
    }

    #[test]
    fn any_characters_make_a_password() {
        for text in [
            "correct horse",
            "        x",
            "密码密码密码密码",
            "a\0b\r\nc\u{1f511}defg",
            "ÄÖÜäöü€ß",
        ] {
            assert_eq!(Password::parse(text, Some(&ada())).unwrap().as_str(), text);
        }
    }

    #[test]
    fn length_is_counted_in_characters_from_8_to_256() {
        assert_eq!(problems("äöüßäöü"), [PasswordProblem::TooShort]);
        assert!(problems("äöüßäöüß").is_empty());
        assert!(problems(&"ü".repeat(256)).is_empty());
        assert_eq!(problems(&"ü".repeat(257)), [PasswordProblem::TooLong]);
    }

    #[test]
    fn a_common_password_is_refused_as_it_is_typed() {
        assert_eq!(problems("password"), [PasswordProblem::Common]);
        assert_eq!(problems("Password1"), [PasswordProblem::Common]);
        assert!(
            problems("pAsSwOrD1").is_empty(),
            "the list is compared without folding case"
        );
    }

    #[test]
    fn a_password_with_the_username_inside_is_refused_in_any_case() {
        assert_eq!(problems("my-aDa-secret"), [PasswordProblem::ContainsUsername]);
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        assert_eq!(
            problems("ada"),
            [PasswordProblem::TooShort, PasswordProblem::ContainsUsername]
        );
    }

    #[test]
    fn a_generated_password_is_a_password_and_never_the_same() {
        let (one, other) = (Password::generate(), Password::generate());
        assert!(Password::parse(one.as_str(), None).is_ok());
        assert_ne!(one.as_str(), other.as_str());
    }

    #[test]
    fn the_list_of_common_passwords_holds_no_line_that_cannot_match() {
        assert!(COMMON.len() > 500);
        assert!(
            COMMON
                .iter()
                .all(|line| (SHORTEST..=LONGEST).contains(&line.chars().count()) && line.trim() == *line)
        );
    }

    proptest! {
        #[test]
        fn a_password_is_kept_character_by_character(text in "\\PC{8,256}") {
            if let Ok(password) = Password::parse(&text, None) {
                prop_assert_eq!(password.as_str(), text);
            }
        }

        #[test]
        fn the_username_is_found_wherever_it_stands(before in "[0-9]{0,20}", after in "[0-9]{5,20}") {
            let text = format!("{before}ADA{after}");
            prop_assert!(problems(&text).contains(&PasswordProblem::ContainsUsername));
        }
    }
}
