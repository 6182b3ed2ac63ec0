//! What a charge point is given to prove itself with, by its security profile.

use uuid::Uuid;

use super::password::{Password, PasswordKey};

#[derive(Debug)]
pub(super) enum Credentials {
    /// No password: security profile 0, and 3, where a certificate takes its place.
    None,
    /// Security profiles 1 and 2, with a password of the operator's choice.
    Chosen(Password),
    /// Security profiles 1 and 2, with one of ours.
    Made,
}

/// As they are kept, and as they are told.
pub(super) struct Given {
    pub hash: Option<[u8; 32]>,
    /// The password that was made, to be shown this once.
    pub made: Option<String>,
    /// So short that it can be guessed.
    pub is_short: bool,
}

impl Credentials {
    /// # Errors
    /// The rest of a sentence that starts with the password: the profile has no use for one.
    pub(super) fn of(profile: i16, password: Option<Password>) -> Result<Self, String> {
        match (profile, password) {
            (0 | 3, Some(_)) => Err(format!("has no use with security profile {profile}")),
            (0 | 3, None) => Ok(Self::None),
            (_, None) => Ok(Self::Made),
            (_, Some(password)) => Ok(Self::Chosen(password)),
        }
    }

    pub(super) fn give(self, key: &PasswordKey, charge_point: Uuid) -> Given {
        let (password, made) = match self {
            Self::None => (None, None),
            Self::Chosen(password) => (Some(password), None),
            Self::Made => {
                let password = Password::generate();
                (Some(password.clone()), Some(password.as_str().to_owned()))
            }
        };
        Given {
            is_short: password.as_ref().is_some_and(Password::is_short),
            hash: password.map(|password| key.hash(charge_point, password.as_str().as_bytes())),
            made,
        }
    }
}
