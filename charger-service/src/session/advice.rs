//! What others said about a CALL before it was answered. They are asked before the transaction of the answer begins, so that
//! nothing in the database waits for them.

use crate::authorization::Authorization;
use crate::data_transfer_vendor::forward::Forwarded;

#[derive(Debug, Default)]
pub enum Advice {
    /// Nobody was asked, or the rules of this house decide alone.
    #[default]
    None,
    /// Another authority, about a token.
    Token(Authorization),
    /// The vendor that a DataTransfer is for.
    Vendor(Forwarded),
}

impl Advice {
    pub fn of_token(&self) -> Option<&Authorization> {
        match self {
            Self::Token(authorization) => Some(authorization),
            Self::None | Self::Vendor(_) => None,
        }
    }

    pub fn of_vendor(&self) -> Option<&Forwarded> {
        match self {
            Self::Vendor(forwarded) => Some(forwarded),
            Self::None | Self::Token(_) => None,
        }
    }
}
