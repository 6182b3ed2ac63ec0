//! What a charge point proves itself with: bytes, kept as a keyed hash.
//!
//! The hash is fast on purpose. Passwords are made by machines, so there is nothing to guess, and ten thousand charge
//! points may come back at once after a power cut.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use uuid::Uuid;

/// As long as a 1.6 station can take where it counts in bytes; some 115 bits.
const MADE_LENGTH: usize = 20;

/// Nothing that looks like something else, for those who type it in on site.
const ALPHABET: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz";

/// Shorter ones can be guessed. Some charge points have a short one that nobody can change before they are connected.
const SHORTEST_GOOD: usize = 16;

/// A password that an operator may set.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// The rest of a sentence that starts with the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PasswordError {
    #[error("must have 1 to 40 characters")]
    Length,
    #[error("must consist of printable characters")]
    Unprintable,
}

impl Password {
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        if !(1..=40).contains(&text.chars().count()) {
            Err(PasswordError::Length)
        } else if text.chars().any(char::is_control) {
            Err(PasswordError::Unprintable)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    pub fn generate() -> Self {
        let mut random = rand::rng();
        Self(
            (0..MADE_LENGTH)
                .map(|_| char::from(ALPHABET[random.random_range(..ALPHABET.len())]))
                .collect(),
        )
    }

    /// Whether it is shorter than OCPP wants passwords to be (A00.FR.205).
    pub fn is_short(&self) -> bool {
        self.0.chars().count() < SHORTEST_GOOD
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// The key that hashes are made under.
#[derive(Clone)]
pub struct PasswordKey(Hmac<Sha256>);

impl PasswordKey {
    pub fn new(secret: &str) -> Self {
        // A key as long as the block needs no check; a secret may be longer, so it is hashed first.
        let mut key = [0; 64];
        key[..32].copy_from_slice(&Sha256::digest(secret.as_bytes()));
        Self(Hmac::new(&key.into()))
    }

    /// The charge point is part of what is hashed: equal passwords do not show.
    pub fn hash(&self, charge_point: Uuid, password: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(b"station password");
        mac.update(charge_point.as_bytes());
        mac.update(&canonical(password));
        mac.finalize().into_bytes().into()
    }

    /// Takes the same time whether or not it matches.
    pub fn verify(&self, charge_point: Uuid, password: &[u8], hash: &[u8]) -> bool {
        self.hash(charge_point, password).ct_eq(hash).into()
    }

    /// Fingerprints a request, so that it is recognised without being kept.
    pub fn fingerprint(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(b"request");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for PasswordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordKey")
    }
}

/// A 1.6 charge point is given its password as 32 to 40 hexadecimal digits, and then sends those, or the bytes that they
/// stand for. Both mean the same, so both come to the bytes.
fn canonical(password: &[u8]) -> Vec<u8> {
    let digits: Option<Vec<u8>> = match password.len() {
        32..=40 if password.len().is_multiple_of(2) => password.iter().map(|&byte| hex_digit(byte)).collect(),
        _ => None,
    };
    match digits {
        Some(digits) => digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect(),
        None => password.to_vec(),
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PasswordKey {
        PasswordKey::new("a secret for tests only, and long")
    }

    fn matches(set: &[u8], sent: &[u8]) -> bool {
        let charge_point = Uuid::nil();
        key().verify(charge_point, sent, &key().hash(charge_point, set))
    }

    #[test]
    fn a_password_matches_itself_and_no_other() {
        assert!(matches(b"correct horse battery", b"correct horse battery"));
        assert!(!matches(b"correct horse battery", b"Correct horse battery"));
        assert!(!matches(b"correct horse battery", b""));
    }

    #[test]
    fn a_password_in_hexadecimal_matches_as_digits_and_as_bytes_whichever_was_set() {
        let digits = b"30313233343536373839414243444546FFfe0080";
        let bytes = b"0123456789ABCDEF\xff\xfe\x00\x80";
        assert!(matches(digits, digits));
        assert!(matches(digits, &digits.to_ascii_lowercase()));
        assert!(matches(digits, bytes));
        assert!(matches(bytes, digits));
    }

    #[test]
    fn an_odd_number_of_digits_is_a_text() {
        assert!(!matches(&[b'A'; 33], &[b'a'; 33]));
    }

    #[test]
    fn equal_passwords_of_two_charge_points_have_different_hashes() {
        assert_ne!(key().hash(Uuid::nil(), b"same"), key().hash(Uuid::max(), b"same"));
    }

    #[test]
    fn a_made_password_is_one_that_may_be_set_and_never_the_same() {
        let made = Password::generate();
        assert!(Password::parse(made.as_str()).is_ok());
        assert_ne!(made, Password::generate());
    }

    /// Rule 11.
    #[test]
    fn a_short_password_may_be_set_and_an_empty_or_longer_one_than_a_charge_point_takes_may_not() {
        assert!(Password::parse("1").is_ok_and(|password| password.is_short()));
        assert!(Password::parse(&"x".repeat(16)).is_ok_and(|password| !password.is_short()));
        assert_eq!(Password::parse(""), Err(PasswordError::Length));
        assert_eq!(Password::parse(&"x".repeat(41)), Err(PasswordError::Length));
        assert_eq!(Password::parse("a\nb"), Err(PasswordError::Unprintable));
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", Password::generate()), "Password");
    }

    #[test]
    fn requests_are_told_apart_by_where_their_parts_end() {
        assert_ne!(key().fingerprint(&[b"ab", b"c"]), key().fingerprint(&[b"a", b"bc"]));
    }
}
