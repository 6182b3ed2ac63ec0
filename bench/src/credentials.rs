//! A signing key that exists for one run, and access tokens of operators that it signed: the gateway verifies them as it does those of
//! auth-service.

use std::time::SystemTime;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::json;
use service_kit::access::{ACCESS_TOKEN_TYPE, AccessClaims};
use uuid::Uuid;

/// The id of the key.
pub const KEY_ID: &str = "bench";

/// Longer than any run.
const LIFETIME_SECONDS: i64 = 24 * 60 * 60;

/// The key's public half, and the tokens.
pub struct Credentials {
    key_set: Bytes,
    tokens: Vec<HeaderValue>,
}

impl Credentials {
    /// Tokens for so many operators, each of another account.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new(callers: u16) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ED25519).context("cannot make a key")?;
        let public = json!({
            "kty": "OKP", "crv": "Ed25519", "kid": KEY_ID, "x": URL_SAFE_NO_PAD.encode(key.public_key_raw()),
            "use": "sig", "alg": "EdDSA",
        });
        let key_set = json!({"keys": [public], "revision": 1});
        let key = EncodingKey::from_ed_pem(key.serialize_pem().as_bytes())?;
        let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        let now = i64::try_from(now)?;
        Ok(Self {
            key_set: key_set.to_string().into(),
            tokens: (0..callers).map(|_| token(&key, now)).collect::<Result<_>>()?,
        })
    }

    /// A JSON Web Key Set.
    pub fn key_set(&self) -> Bytes {
        self.key_set.clone()
    }

    /// Values of `Authorization`.
    pub fn tokens(&self) -> &[HeaderValue] {
        &self.tokens
    }
}

fn token(key: &EncodingKey, now: i64) -> Result<HeaderValue> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(ACCESS_TOKEN_TYPE.into());
    header.kid = Some(KEY_ID.into());
    let claims = AccessClaims {
        iss: "voltgate".into(),
        aud: "voltgate".into(),
        sub: Uuid::now_v7(),
        sid: Uuid::now_v7(),
        jti: Uuid::now_v7(),
        roles: vec!["operator".into()],
        scope: None,
        site_groups: None,
        iat: now,
        exp: now + LIFETIME_SECONDS,
    };
    let token = jsonwebtoken::encode(&header, &claims, key)?;
    Ok(HeaderValue::try_from(format!("Bearer {token}"))?)
}
