//! API keys: what a program shows in place of an access token. A key names its row in the database, so that it is found by
//! a primary key; ends in a checksum, so that what is mistyped or made up is told without asking anybody; and starts with a
//! mark, for people and for scanners of leaked secrets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub(super) const PREFIX: &str = "vgk_";

const ID_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
const KEY_BYTES: usize = ID_BYTES + SECRET_BYTES + CHECKSUM_BYTES;

/// A key in the clear. Only its owner and the processes that it is shown to ever have one.
#[derive(Clone)]
pub struct ApiKey {
    pub id: Uuid,
    secret: [u8; SECRET_BYTES],
}

impl ApiKey {
    pub fn generate() -> Self {
        Self {
            id: Uuid::now_v7(),
            secret: rand::random(),
        }
    }

    /// Reads what may be a key. Whether it is one, only auth-service can tell.
    pub fn parse(text: &str) -> Option<Self> {
        let key = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let key: [u8; KEY_BYTES] = key.try_into().ok()?;
        let (id, rest) = key.split_first_chunk::<ID_BYTES>()?;
        let (secret, checksum) = rest.split_first_chunk::<SECRET_BYTES>()?;
        let key = Self {
            id: Uuid::from_bytes(*id),
            secret: *secret,
        };
        (key.checksum() == checksum).then_some(key)
    }

    /// As its owner gets to see it.
    pub fn write(&self) -> String {
        let key = [self.id.as_bytes().as_slice(), &self.secret, &self.checksum()].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(key))
    }

    /// What the database knows the secret by. It has 256 bits, so a plain hash gives nothing away.
    pub fn secret_hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    fn checksum(&self) -> [u8; CHECKSUM_BYTES] {
        let mut checksum = [0; CHECKSUM_BYTES];
        checksum.copy_from_slice(&self.digest()[..CHECKSUM_BYTES]);
        checksum
    }

    /// Of the whole key.
    pub(super) fn digest(&self) -> [u8; 32] {
        let parts = [PREFIX.as_bytes(), self.id.as_bytes(), &self.secret];
        Sha256::digest(parts.concat()).into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = ApiKey::generate();
        let read = ApiKey::parse(&key.write()).expect("a key");
        assert_eq!((read.id, read.secret), (key.id, key.secret));
        assert_eq!(key.write().len(), 74);
    }

    proptest! {
        #[test]
        fn a_key_with_a_wrong_letter_is_no_key(position in 4..73_usize, letter in "[A-Za-z0-9_-]") {
            let key = ApiKey::generate().write();
            let mut changed = key.clone();
            changed.replace_range(position..=position, &letter);
            prop_assume!(changed != key);
            prop_assert!(ApiKey::parse(&changed).is_none());
        }

        #[test]
        fn any_other_text_is_no_key(text in "\\PC{0,100}") {
            prop_assert!(ApiKey::parse(&text).is_none());
            let marked = format!("{PREFIX}{text}");
            prop_assert!(ApiKey::parse(&marked).is_none());
        }
    }
}
