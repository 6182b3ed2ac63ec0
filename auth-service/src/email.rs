//! The address that mail for an account goes to. What parses here can be delivered to: the dot-atom form of RFC 5321
//! with a domain name. Quoted local parts, address literals and display names are refused; an international domain is
//! written in its `xn--` form. Whether somebody reads the mailbox is not decided here.

pub mod change;
pub mod rpc;
pub mod verify;

use std::fmt;

use thiserror::Error;

const LONGEST: usize = 254;
const LONGEST_LOCAL_PART: usize = 64;
const LONGEST_LABEL: usize = 63;

/// An email address as its owner wrote it. Its `Debug` hides it, so that no log line shows it by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not an email address")]
pub struct NotAnEmail;

impl Email {
    pub fn parse(text: &str) -> Result<Self, NotAnEmail> {
        let (local_part, domain) = text.split_once('@').ok_or(NotAnEmail)?;
        if text.len() <= LONGEST && is_local_part(local_part) && is_domain(domain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnEmail)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

fn is_local_part(text: &str) -> bool {
    let is_atom = |atom: &str| {
        !atom.is_empty()
            && atom
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c))
    };
    text.len() <= LONGEST_LOCAL_PART && text.split('.').all(is_atom)
}

/// At least two labels, of which the last is no number: `localhost` and `10.0.0.1` receive no mail from a public system.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match text.rsplit_once('.') {
        Some((rest, last)) => {
            rest.split('.').all(is_label) && is_label(last) && !last.chars().all(|c| c.is_ascii_digit())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_that_people_have_are_accepted() {
        for text in [
            "ada@example.com",
            "Ada.Lovelace+ev@mail.example.co.uk",
            "o'brien@example.com",
            "x@xn--mller-kva.de",
            "a@1und1.de",
        ] {
            assert!(Email::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long_local_part = format!("{}@example.com", "a".repeat(65));
        let long_label = format!("a@{}.com", "b".repeat(64));
        let long = format!("a@{}com", "b.".repeat(126));
        for text in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.com",
            "ada@localhost",
            "ada@10.0.0.1",
            "a@b@c.de",
            "ada @example.com",
            ".ada@example.com",
            "ada.@example.com",
            "a..b@example.com",
            "ada@-x.de",
            "ada@x-.de",
            "ada@x..de",
            "ada@example.com.",
            "Ada <ada@example.com>",
            "ada@example.com\r\nBcc: all@example.com",
            "ada@exa\0mple.com",
            "\"ada\"@example.com",
            "ada@[127.0.0.1]",
            &long_local_part,
            &long_label,
            &long,
        ] {
            assert_eq!(Email::parse(text), Err(NotAnEmail), "{text}");
        }
    }

    #[test]
    fn an_address_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Email::parse("ada@example.com")), "Ok(Email(..))");
    }

    proptest! {
        #[test]
        fn no_address_holds_a_line_break_a_space_or_a_second_at(text in any::<String>()) {
            if let Ok(email) = Email::parse(&text) {
                prop_assert!(email.as_str().chars().all(|c| c.is_ascii_graphic()));
                prop_assert_eq!(email.as_str().matches('@').count(), 1);
            }
        }

        #[test]
        fn every_plain_address_is_accepted(text in "[a-z0-9_+]{1,20}(\\.[a-z0-9]{1,10}){0,2}@[a-z0-9]{1,20}\\.[a-z]{2,10}") {
            prop_assert!(Email::parse(&text).is_ok());
        }
    }
}
