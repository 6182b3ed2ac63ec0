//! This service verifies tokens and API keys as all others do, with its own keys and revocations, and without asking
//! itself over the network.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jsonwebtoken::DecodingKey;
use service_kit::access::{ApiKey, Authority, AuthorityUnavailable, Revocations, UnknownKeys};

use crate::access_token::AccessTokens;
use crate::api_key::exchange::exchange;
use crate::revocation::Feed;
use crate::signing_key::rotation::Rotation;

/// An unknown key id has the database looked at, for another replica may have made the key just now; but not more often
/// than this, so that made-up ids cost nothing.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

pub struct OwnAuthority {
    rotation: Arc<Rotation>,
    revocations: Feed,
    tokens: AccessTokens,
    unknown: UnknownKeys,
}

impl OwnAuthority {
    pub fn new(rotation: Arc<Rotation>, revocations: Feed, tokens: AccessTokens) -> Self {
        Self {
            rotation,
            revocations,
            tokens,
            unknown: UnknownKeys::new(LOOK_INTERVAL),
        }
    }
}

#[async_trait]
impl Authority for OwnAuthority {
    async fn verification_key(&self, kid: &str) -> Result<Option<DecodingKey>, AuthorityUnavailable> {
        let known = || self.rotation.keys.known().verification_key(kid);
        if let Some(key) = known() {
            return Ok(Some(key));
        }
        let look = || {
            let rotation = Arc::clone(&self.rotation);
            async move {
                let looked = rotation.look().await;
                looked.map_err(|error| AuthorityUnavailable(error.into()))
            }
        };
        self.unknown.find(known, look).await
    }

    fn has_key(&self, kid: &str) -> bool {
        self.rotation.keys.known().contains(kid)
    }

    async fn exchange(&self, key: &ApiKey) -> Result<Option<String>, AuthorityUnavailable> {
        let Rotation { database, clock, .. } = &*self.rotation;
        let exchanged = exchange(database, &self.tokens, clock, key).await;
        exchanged.map_err(|error| AuthorityUnavailable(error.into()))
    }

    fn revocations(&self) -> &Revocations {
        self.revocations.known()
    }

    async fn follow(&self) {
        tokio::join!(self.revocations.follow(), self.rotation.follow());
    }
}
