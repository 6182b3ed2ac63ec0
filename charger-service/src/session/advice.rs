//! What others said about a CALL before it was answered. They are asked before the transaction of the answer begins, so that
//! nothing in the database waits for them.

use crate::authorization::Authorization;

#[derive(Debug, Default)]
pub enum Advice {
    /// Nobody was asked, or the rules of this house decide alone.
    #[default]
    None,
    /// Another authority, about a token.
    Token(Authorization),
}

impl Advice {
    pub fn of_token(&self) -> Option<&Authorization> {
        match self {
            Self::Token(authorization) => Some(authorization),
            Self::None => None,
        }
    }
}
