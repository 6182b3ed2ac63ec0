//! 256 random bits, as they stand in a URL. Whoever has them may transfer the file, so what is kept to know them by is a hash. They stand in
//! the command that tells them as well, until it leaves or expires (`redact`).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt;
use sha2::{Digest, Sha256};

pub struct Token(String);

impl Token {
    pub fn generate() -> Self {
        let bytes: [u8; 32] = rand::rng().random();
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Of whatever somebody takes for one. There is nothing to guess in one that was made here, so it needs no key and no salt.
pub fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_the_same_is_known_by_its_hash_and_is_not_shown() {
        let token = Token::generate();
        assert_eq!((token.as_str().len(), token.hash()), (43, hash(token.as_str())));
        assert_ne!(token.hash(), Token::generate().hash());
        assert_eq!(format!("{token:?}"), "Token");
    }
}
