//! Refresh tokens. Each session has a family of them: the first is random, every other follows from the family's key and
//! the token before it, so that the one who shows a token twice can be given the same successor twice without anybody
//! having kept it. The database knows the sealed key and the SHA-256 of the newest; neither of the two is a token.
//!
//! A token names its session, so that it is found by a primary key, and carries a tag under the family's key, so that
//! what was made up is told from what was used before: only the latter means that somebody has a copy.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Marks the text as what it is, for people and for scanners of leaked secrets.
const PREFIX: &str = "vgr_";

/// Of the family's key, and of a block of SHA-256.
const KEY_BYTES: usize = 32;
const BLOCK_BYTES: usize = 64;

const ID_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const TOKEN_BYTES: usize = ID_BYTES + SECRET_BYTES + TAG_BYTES;

/// What the tokens of one session follow from.
#[derive(Clone, Copy)]
pub struct FamilyKey([u8; KEY_BYTES]);

/// The part of a token that is secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

/// A token as somebody showed it. Whether it is one is not known before its tag was looked at.
pub struct Shown {
    pub session: Uuid,
    secret: Secret,
    tag: [u8; TAG_BYTES],
}

impl FamilyKey {
    pub fn generate() -> Self {
        Self(rand::random())
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The token that comes after this one.
    pub fn successor(&self, secret: &Secret) -> Secret {
        Secret(self.mac(b"successor", secret).finalize().into_bytes().into())
    }

    /// The secret of a token that this family once issued.
    pub fn genuine(&self, shown: &Shown) -> Option<Secret> {
        let mac = self.mac(&tag_of(shown.session), &shown.secret);
        mac.verify_truncated_left(&shown.tag).ok().map(|()| shown.secret)
    }

    /// As the client gets to see it.
    pub fn write(&self, session: Uuid, secret: &Secret) -> String {
        let tag = self.mac(&tag_of(session), secret).finalize().into_bytes();
        let token = [session.as_bytes().as_slice(), &secret.0, &tag[..TAG_BYTES]].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token))
    }

    /// The label keeps the uses of the key apart.
    fn mac(&self, label: &[u8], secret: &Secret) -> Hmac<Sha256> {
        // HMAC fills a short key up with zeros itself (RFC 2104, section 2); done here, no length can be wrong.
        let mut key = [0; BLOCK_BYTES];
        key[..KEY_BYTES].copy_from_slice(&self.0);
        let mac: Hmac<Sha256> = Hmac::new(&key.into());
        mac.chain_update(label).chain_update(b"\n").chain_update(secret.0)
    }
}

fn tag_of(session: Uuid) -> Vec<u8> {
    [b"tag ".as_slice(), session.as_bytes()].concat()
}

impl Secret {
    /// The first of a family.
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// What the database knows it by. The secret has 256 bits, so a plain hash gives nothing away.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0).to_vec()
    }
}

impl Shown {
    /// Reads what may be a token.
    pub fn parse(text: &str) -> Option<Self> {
        let token = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let token: [u8; TOKEN_BYTES] = token.try_into().ok()?;
        let (session, rest) = token.split_first_chunk::<ID_BYTES>()?;
        let (secret, tag) = rest.split_first_chunk::<SECRET_BYTES>()?;
        Some(Self {
            session: Uuid::from_bytes(*session),
            secret: Secret(*secret),
            tag: tag.try_into().ok()?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let (key, secret, session) = (FamilyKey::generate(), Secret::generate(), Uuid::now_v7());
        let shown = Shown::parse(&key.write(session, &secret)).unwrap();
        assert_eq!(shown.session, session);
        assert!(key.genuine(&shown) == Some(secret));
    }

    #[test]
    fn the_successor_of_a_token_is_always_the_same_and_its_familys_own() {
        let (key, other, secret) = (FamilyKey::generate(), FamilyKey::generate(), Secret::generate());
        assert!(key.successor(&secret) == key.successor(&secret));
        assert!(key.successor(&secret) != secret);
        assert!(key.successor(&secret) != other.successor(&secret));
    }

    #[test]
    fn a_token_of_another_family_or_session_is_not_genuine() {
        let (key, secret, session) = (FamilyKey::generate(), Secret::generate(), Uuid::now_v7());
        let foreign = FamilyKey::generate().write(session, &secret);
        assert!(key.genuine(&Shown::parse(&foreign).unwrap()).is_none());
        let mut elsewhere = Shown::parse(&key.write(session, &secret)).unwrap();
        elsewhere.session = Uuid::now_v7();
        assert!(key.genuine(&elsewhere).is_none());
    }

    proptest! {
        #[test]
        fn a_token_changed_anywhere_is_not_genuine(position in 4..86_usize, letter in "[A-Za-z0-9_-]") {
            let (key, secret) = (FamilyKey::generate(), Secret::generate());
            let token = key.write(Uuid::now_v7(), &secret);
            let mut changed = token.clone();
            changed.replace_range(position..=position, &letter);
            prop_assume!(changed != token);
            if let Some(shown) = Shown::parse(&changed) {
                prop_assert!(key.genuine(&shown).is_none());
            }
        }

        #[test]
        fn any_other_text_is_no_token(text in "\\PC{0,120}") {
            prop_assert!(Shown::parse(&text).is_none());
        }
    }
}
