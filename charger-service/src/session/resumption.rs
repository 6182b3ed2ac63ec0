//! How the gateway shows that a socket is the one of a session that is there already.

use std::fmt;

use rand::RngExt;
use sha2::{Digest, Sha256};
use voltgate_proto::ocpp::v1 as proto;

/// Random bytes in a token; enough that none is ever guessed.
const TOKEN_BYTES: usize = 16;

/// What the gateway is given when a session begins. Only its hash is kept.
#[derive(Clone)]
pub struct Token(String);

/// SHA-256 of a token. It is random, so a fast hash without a salt does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

/// What the gateway tells when it resumes a session.
#[derive(Clone, Debug)]
pub struct Resumption {
    pub token: TokenHash,
    /// The number of the last of our frames that the gateway has.
    pub received: i64,
    /// The number of the last frame that an earlier stream may have brought.
    pub sent: u64,
}

impl Token {
    pub fn generate() -> Self {
        let bytes: [u8; TOKEN_BYTES] = rand::rng().random();
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl TokenHash {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<proto::Resumption> for Resumption {
    fn from(resumption: proto::Resumption) -> Self {
        Self {
            token: TokenHash::of(&resumption.token),
            received: i64::try_from(resumption.received).unwrap_or(i64::MAX - 1),
            sent: resumption.sent,
        }
    }
}
