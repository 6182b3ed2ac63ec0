//! Secrets that a database keeps: sealed with XChaCha20-Poly1305 under a key derived from a service's secret, so that a
//! stolen dump opens nothing. Each secret is bound to the row it belongs to and opens nowhere else.

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use thiserror::Error;

const NONCE_BYTES: usize = 24;

/// Seals and opens. Holds the derived key only, and shows nothing of it.
#[derive(Clone)]
pub struct SealingKey(XChaCha20Poly1305);

/// The secret is not the one it was sealed with, or what was stored was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a sealed secret does not open")]
pub struct DoesNotOpen;

impl SealingKey {
    /// `secret` is random already, so one hash is enough. The key of `service` is apart from whatever else is derived from the
    /// same secret.
    pub fn derive(service: &str, secret: &str) -> Self {
        let label = format!("voltgate {service}: secrets at rest, version 1\n");
        let key = Sha256::new().chain_update(label).chain_update(secret).finalize();
        Self(XChaCha20Poly1305::new(&Key::from(<[u8; 32]>::from(key))))
    }

    /// `owner` names the row, such as the key's id.
    ///
    /// # Errors
    /// The secret is longer than anything that is kept.
    pub fn seal(&self, secret: &[u8], owner: &str) -> Result<Vec<u8>, DoesNotOpen> {
        let nonce = XNonce::generate();
        let sealed = self
            .0
            .encrypt(
                &nonce,
                Payload {
                    msg: secret,
                    aad: owner.as_bytes(),
                },
            )
            .map_err(|_| DoesNotOpen)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// # Errors
    /// It was sealed with another secret or for another owner, or was changed.
    pub fn open(&self, sealed: &[u8], owner: &str) -> Result<Vec<u8>, DoesNotOpen> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(DoesNotOpen)?;
        self.0
            .decrypt(
                &XNonce::from(*nonce),
                Payload {
                    msg: sealed,
                    aad: owner.as_bytes(),
                },
            )
            .map_err(|_| DoesNotOpen)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_the_same_secret_for_the_same_owner() {
        let sealed = SealingKey::derive("test", "a secret").seal(b"seed", "key-1").unwrap();
        assert_eq!(
            SealingKey::derive("test", "a secret").open(&sealed, "key-1").unwrap(),
            b"seed"
        );
        assert!(!sealed.windows(4).any(|window| window == b"seed"));
    }

    #[test]
    fn another_secret_another_owner_or_a_changed_byte_opens_nothing() {
        let key = SealingKey::derive("test", "a secret");
        let sealed = key.seal(b"seed", "key-1").unwrap();
        assert_eq!(
            SealingKey::derive("test", "another").open(&sealed, "key-1"),
            Err(DoesNotOpen)
        );
        assert_eq!(key.open(&sealed, "key-2"), Err(DoesNotOpen));
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert_eq!(key.open(&changed, "key-1"), Err(DoesNotOpen));
        }
        assert_eq!(key.open(&sealed[..10], "key-1"), Err(DoesNotOpen));
    }

    #[test]
    fn one_secret_sealed_twice_looks_different() {
        let key = SealingKey::derive("test", "a secret");
        assert_ne!(key.seal(b"seed", "key-1").unwrap(), key.seal(b"seed", "key-1").unwrap());
    }
}
