//! The name that an account goes by. It may be an email address, so it allows what an address allows, and beyond that
//! letters and digits of any script. Spaces, quotes, control and invisible characters are refused: two names that look
//! the same should not be two accounts.

use std::fmt;

use thiserror::Error;

const SHORTEST: usize = 3;
const LONGEST: usize = 254;

/// A username as its owner wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UsernameProblem {
    #[error("is required")]
    Missing,
    #[error("has fewer than {SHORTEST} characters")]
    TooShort,
    #[error("has more than {LONGEST} characters")]
    TooLong,
    #[error("may hold letters, digits and the signs .!#$%&'*+/=?^_`{{|}}~@- only")]
    Character,
}

impl Username {
    pub fn parse(text: &str) -> Result<Self, UsernameProblem> {
        match text.chars().count() {
            0 => return Err(UsernameProblem::Missing),
            1..SHORTEST => return Err(UsernameProblem::TooShort),
            SHORTEST..=LONGEST => {}
            _ => return Err(UsernameProblem::TooLong),
        }
        if text
            .chars()
            .all(|c| c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~@-".contains(c))
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(UsernameProblem::Character)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What makes a username unique: names that differ in case only share a key.
    pub fn key(&self) -> String {
        fold_case(&self.0)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower case alone is not enough: `ς` and `σ` are both the lower case of `Σ`, and `ß` in capitals is `SS`. The way
/// down, up and down again brings all of them to one spelling.
pub(crate) fn fold_case(text: &str) -> String {
    text.chars()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_every_script_and_email_addresses_are_usernames() {
        for name in [
            "ada",
            "Ada.Lovelace",
            "ada+ev@example.com",
            "中村さん",
            "Дмитрий",
            "o'brien_7",
        ] {
            assert_eq!(Username::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn each_rule_that_a_name_breaks_has_its_own_problem() {
        use UsernameProblem::*;
        let long = "a".repeat(255);
        for (name, problem) in [
            ("", Missing),
            ("ab", TooShort),
            (long.as_str(), TooLong),
            ("ada lovelace", Character),
            ("ada\0", Character),
            ("ada\u{200b}", Character),
            ("ada\u{202e}", Character),
            ("<ada>", Character),
        ] {
            assert_eq!(Username::parse(name), Err(problem), "{name:?}");
        }
    }

    #[test]
    fn length_is_counted_in_characters_not_in_bytes() {
        assert!(Username::parse(&"ü".repeat(254)).is_ok());
        assert_eq!(Username::parse("üü"), Err(UsernameProblem::TooShort));
    }

    #[test]
    fn names_that_differ_in_case_only_share_a_key() {
        for (one, other) in [
            ("Ada", "aDA"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("STRASSE", "straße"),
            ("ẞtra", "ßtra"),
        ] {
            assert_eq!(
                Username::parse(one).unwrap().key(),
                Username::parse(other).unwrap().key()
            );
        }
    }

    #[test]
    fn folding_is_final_for_every_character_there_is() {
        for c in '\0'..=char::MAX {
            let once = fold_case(&c.to_string());
            assert_eq!(fold_case(&once), once, "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_but_never_changed(text in any::<String>()) {
            if let Ok(name) = Username::parse(&text) {
                prop_assert_eq!(name.as_str(), text);
            }
        }

        #[test]
        fn capitals_never_make_another_name(text in "[\\p{L}\\p{N}]{3,20}") {
            prop_assert_eq!(fold_case(&text.to_uppercase()), fold_case(&text));
            prop_assert_eq!(fold_case(&text.to_lowercase()), fold_case(&text));
        }
    }
}
