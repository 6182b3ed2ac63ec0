//! Who says what a valid access token is: auth-service, as those who verify tokens see it.

use async_trait::async_trait;
use jsonwebtoken::DecodingKey;

use super::revocations::Revocations;

/// Where the keys that verify access tokens come from, and the revocations.
#[async_trait]
pub trait Authority: Send + Sync {
    /// The key of this id; nothing where there is no such key.
    async fn verification_key(&self, kid: &str) -> Result<Option<DecodingKey>, KeysUnavailable>;

    /// Whether tokens of this key, which there was when they were verified, are still valid.
    fn has_key(&self, kid: &str) -> bool;

    /// Tokens that are void before they expire, as far as is known.
    fn revocations(&self) -> &Revocations;

    /// Keeps the revocations up to date for as long as it is polled. It never ends by itself.
    async fn follow(&self);
}

/// Whether there is such a key cannot be told just now.
#[derive(Debug, thiserror::Error)]
#[error("the keys that verify access tokens are not available: {0}")]
pub struct KeysUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);
