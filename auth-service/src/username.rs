//! The name that an account goes by. It may be an email address, so it allows what an address allows, and beyond that
//! letters and digits of any script. Spaces, quotes, control and invisible characters are refused: two names that look
//! the same should not be two accounts.
//!
//! Names that differ in case, or in how Unicode writes the same letters, are one name: they have the same key. Names that
//! are written with other letters that look alike, as `аdа` in Cyrillic looks like `ada`, have a skeleton in common, and
//! the second one is refused (`username/claim.rs`). The spelling of its owner stays as it is.

pub mod claim;

use std::fmt;

use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;
use unicode_security::confusable_detection::skeleton;

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
        // An accent may be typed as a character of its own; what counts is the letter that it makes.
        let composed: String = text.nfc().collect();
        match composed.chars().count() {
            0 => return Err(UsernameProblem::Missing),
            1..SHORTEST => return Err(UsernameProblem::TooShort),
            SHORTEST..=LONGEST => {}
            _ => return Err(UsernameProblem::TooLong),
        }
        if composed
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

    /// What makes a username unique: names that differ in case or in their form of Unicode share a key.
    pub fn key(&self) -> String {
        key_of(&self.0)
    }

    /// What the name looks like (UTS 39, section 4), as it is written and in small letters, in order and without regard to
    /// case. Capitals need a look of their own: a Greek `Η` looks like an `H`, but the `η` not like an `h`.
    pub fn skeletons(&self) -> Vec<String> {
        let look = |text: &str| fold_case(&skeleton(text).collect::<String>());
        let mut skeletons = vec![look(&self.0), look(&self.key())];
        skeletons.sort_unstable();
        skeletons.dedup();
        skeletons
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of any text, whether it may be a username or not: NFKC without regard to case. Folding may undo a normal form and
/// the normal form bring new capitals, hence one more time round (Unicode, section 3.13, D146).
pub(crate) fn key_of(text: &str) -> String {
    let once = |text: &str| fold_case(&text.nfkd().collect::<String>());
    once(&once(text)).nfkc().collect()
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
    fn names_that_unicode_writes_in_two_ways_share_a_key() {
        for (one, other) in [
            ("zoë", "zoe\u{308}"),
            ("Ａｄａ", "ada"),
            ("oﬃce", "office"),
            ("ada①", "ada1"),
            ("Ångström", "\u{212b}ngstro\u{308}m"),
            ("ﾊﾟﾘﾘ", "パリリ"),
        ] {
            let (one, other) = (Username::parse(one).unwrap(), Username::parse(other).unwrap());
            assert_eq!(one.key(), other.key());
        }
    }

    #[test]
    fn an_accent_typed_by_itself_makes_a_letter_and_stays_as_it_was_typed() {
        assert_eq!(Username::parse("zoe\u{308}").unwrap().as_str(), "zoe\u{308}");
        assert_eq!(Username::parse("ad\u{308}\u{308}a"), Err(UsernameProblem::Character));
    }

    #[test]
    fn names_that_look_alike_have_a_skeleton_in_common() {
        let skeletons = |name: &str| Username::parse(name).unwrap().skeletons();
        let alike = |one: &str, other: &str| skeletons(one).iter().any(|one| skeletons(other).contains(one));
        for (one, other) in [
            ("ada", "аdа"),
            ("ADA", "АDА"),
            ("hello", "\u{397}ELLO"),
            ("paypal", "раураl"),
            ("scope", "ѕсоре"),
            ("admin", "аdmіn"),
        ] {
            assert!(
                alike(one, other),
                "{one} {other}: {:?} {:?}",
                skeletons(one),
                skeletons(other)
            );
        }
        for (one, other) in [
            ("ada", "bda"),
            ("muller", "müller"),
            ("Дмитрий", "Дмитрии"),
            ("中村さん", "中林さん"),
        ] {
            assert!(!alike(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_key_is_final_for_every_character_there_is() {
        for c in '\0'..=char::MAX {
            let once = key_of(&c.to_string());
            assert_eq!(key_of(&once), once, "{c:?}");
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
