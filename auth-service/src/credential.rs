//! Credentials: what an account proves itself by, be it a password, a second factor, a passkey, a key for programs, or the mailbox
//! that leads to a new password. None of it is changed without a proof of the rest, and its owner hears of every change.

pub mod notice;
pub mod proof;
