//! This service verifies tokens as all others do, with its own keys and revocations, and without asking itself over the
//! network.

use async_trait::async_trait;
use jsonwebtoken::DecodingKey;
use service_kit::access::{Authority, KeysUnavailable, Revocations};

use crate::revocation::Feed;
use crate::signing_key::SigningKeys;

pub struct OwnAuthority {
    pub keys: SigningKeys,
    pub revocations: Feed,
}

#[async_trait]
impl Authority for OwnAuthority {
    async fn verification_key(&self, kid: &str) -> Result<Option<DecodingKey>, KeysUnavailable> {
        Ok(self.keys.verification_key(kid))
    }

    fn revocations(&self) -> &Revocations {
        self.revocations.known()
    }

    async fn follow(&self) {
        self.revocations.follow().await;
    }
}
