//! What somebody holds to show it once: between the two steps of a login or of a passkey's ceremony, or as it came by mail. It is
//! 256 random bits, of which the database keeps the SHA-256 only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// How long the second step of a login or of a passkey's ceremony may take. Codes by mail live otherwise (`email_code.rs`).
pub const CHALLENGE_LIFETIME: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// The same in seconds, as clients are told.
pub const CHALLENGE_SECONDS: i32 = 300;

/// A token as somebody gets to see it, url-safe.
pub struct RandomToken(String);

impl RandomToken {
    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
    }

    pub fn hash(&self) -> Vec<u8> {
        hash(&self.0)
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

/// What the database knows a token by, for a text that somebody presents as one.
pub fn hash(text: &str) -> Vec<u8> {
    Sha256::digest(text).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_what_its_client_presents_and_is_never_the_same() {
        let (one, other) = (RandomToken::generate(), RandomToken::generate());
        let kept = one.hash();
        assert_ne!(kept, other.hash());
        let text = one.into_text();
        assert_eq!(text.len(), 43);
        assert_eq!(hash(&text), kept);
    }

    #[test]
    fn clients_are_told_how_long_a_challenge_lives() {
        assert_eq!(CHALLENGE_LIFETIME.num_seconds(), i64::from(CHALLENGE_SECONDS));
    }
}
