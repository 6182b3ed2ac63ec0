//! Credentials: what an account proves itself by, be it a password, a second factor, a passkey, a key for programs, or the mailbox
//! that leads to a new password. Whoever is logged in adds none, and takes none of those away that lock others out, without a proof
//! of what the account has already; a key is revoked without, for that takes nobody in. The owner hears of what was added, taken
//! away, changed or asked for, if the account has an address that was verified.

pub mod notice;
pub mod proof;
