//! The secret by which whoever is called knows that a call is ours, in the way of Standard Webhooks: HMAC-SHA256 over the call's id, its
//! time and its body.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// As many bytes it has.
const FEWEST: usize = 24;
const MOST: usize = 64;

#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    pub fn generate() -> Self {
        Self(rand::rng().random::<[u8; 32]>().to_vec())
    }

    /// As it is shown.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        Self::of_bytes(bytes)
    }

    /// As it is sealed. None where there are too few or too many.
    pub fn of_bytes(bytes: Vec<u8>) -> Option<Self> {
        (FEWEST..=MOST).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// To be sealed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// To be shown to whoever verifies signatures.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// The value of `webhook-signature`. `at`: seconds since 1970.
    pub fn sign(&self, id: &str, at: i64, body: &[u8]) -> String {
        // A shorter key counts as if zeros followed, up to the size of a block.
        let mut key = [0; MOST];
        for (place, byte) in key.iter_mut().zip(&self.0) {
            *place = *byte;
        }
        let mut mac = Hmac::<Sha256>::new(&key.into());
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_it_is_shown_and_has_24_to_64_bytes() {
        let made = SigningSecret::generate();
        assert_eq!(SigningSecret::parse(&made.reveal()), Some(made));
        let of = |length: usize| format!("whsec_{}", STANDARD.encode(vec![7; length]));
        for (length, good) in [(23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(SigningSecret::parse(&of(length)).is_some(), good, "{length}");
        }
        for wrong in ["", "whsec_", &of(32)[6..], "whsec_????????????????????????????????"] {
            assert_eq!(SigningSecret::parse(wrong), None, "{wrong}");
        }
    }

    /// Computed with `openssl dgst -sha256 -mac HMAC`.
    #[test]
    fn a_signature_covers_id_time_and_body() {
        let secret = SigningSecret::of_bytes(vec![b'k'; 24]).unwrap();
        let signature = secret.sign("msg_1", 1_700_000_000, br#"{"a":1}"#);
        assert_eq!(signature, "v1,bYr7Rz93bX8WqNI5XVthzq7NE/LcYrDkos9dgSLYHOc=");
        assert_ne!(signature, secret.sign("msg_2", 1_700_000_000, br#"{"a":1}"#));
        assert_ne!(signature, secret.sign("msg_1", 1_700_000_001, br#"{"a":1}"#));
        assert_ne!(signature, secret.sign("msg_1", 1_700_000_000, br#"{"a":2}"#));
    }
}
