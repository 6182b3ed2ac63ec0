//! Who says what a valid access token is: auth-service, as those who verify tokens see it.

use async_trait::async_trait;
use jsonwebtoken::DecodingKey;

use super::api_key::ApiKey;
use super::revocations::Revocations;

/// Where the keys that verify access tokens come from, and the revocations.
#[async_trait]
pub trait Authority: Send + Sync {
    /// The key of this id; nothing where there is no such key.
    async fn verification_key(&self, kid: &str) -> Result<Option<DecodingKey>, AuthorityUnavailable>;

    /// Whether tokens of this key, which there was when they were verified, are still valid.
    fn has_key(&self, kid: &str) -> bool;

    /// An access token in exchange for an API key; none where the key is not valid.
    async fn exchange(&self, key: &ApiKey) -> Result<Option<String>, AuthorityUnavailable>;

    /// Tokens that are void before they expire, as far as is known.
    fn revocations(&self) -> &Revocations;

    /// Keeps the revocations up to date for as long as it is polled. It never ends by itself.
    async fn follow(&self);
}

/// auth-service cannot be asked just now.
#[derive(Debug, thiserror::Error)]
#[error("auth-service cannot be asked: {0}")]
pub struct AuthorityUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);
