//! The keys that verify access tokens, fetched from auth-service and kept.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use voltgate_proto::auth::v1::GetJwksRequest;
use voltgate_proto::auth::v1::auth_service_client::AuthServiceClient;

use super::verifier::{Jwk, KeySource, KeysUnavailable};
use crate::start::StartError;
use crate::tls::{self, ServiceTls};

/// An unknown key id asks auth-service again, but not more often than this, so that made-up ids cost nothing.
const REFETCH_INTERVAL: Duration = Duration::from_secs(5);

/// How long auth-service may take to answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// Keys of auth-service. They are fetched when an id is unknown, by one caller at a time, and never dropped: an outage
/// of auth-service does not keep tokens from being verified.
pub struct RemoteKeys {
    client: AuthServiceClient<Channel>,
    known: RwLock<HashMap<String, DecodingKey>>,
    last_fetch: Mutex<Option<Instant>>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

impl RemoteKeys {
    /// # Errors
    /// `url` is not one, or is `http` where mutual TLS is set up.
    pub fn new(url: &str, tls: Option<&ServiceTls>) -> Result<Self, StartError> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|error| StartError::setting("AUTH_URL", error.to_string()))?
            .connect_timeout(FETCH_TIMEOUT)
            .timeout(FETCH_TIMEOUT);
        tls::check_scheme(tls, endpoint.uri(), "AUTH_URL")?;
        Ok(Self {
            client: AuthServiceClient::new(tls::channel(tls, &endpoint)),
            known: RwLock::default(),
            last_fetch: Mutex::default(),
        })
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(kid)
            .cloned()
    }

    async fn fetch(&self) -> Result<(), KeysUnavailable> {
        let answer = self.client.clone().get_jwks(GetJwksRequest {}).await;
        let body = answer.map_err(|status| KeysUnavailable(status.into()))?.into_inner();
        let set: KeySet = serde_json::from_slice(&body.data).map_err(|error| KeysUnavailable(error.into()))?;
        let mut keys = HashMap::with_capacity(set.keys.len());
        for key in set.keys {
            let decoded = DecodingKey::from_ed_components(&key.x).map_err(|error| KeysUnavailable(error.into()))?;
            keys.insert(key.kid, decoded);
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}

#[async_trait]
impl KeySource for RemoteKeys {
    async fn verification_key(&self, kid: &str) -> Result<Option<DecodingKey>, KeysUnavailable> {
        if let Some(key) = self.known(kid) {
            return Ok(Some(key));
        }
        // An async lock, held while one caller fetches: the others wait here and then find the key.
        let mut last_fetch = self.last_fetch.lock().await;
        if let Some(key) = self.known(kid) {
            return Ok(Some(key));
        }
        if last_fetch.is_some_and(|at| at.elapsed() < REFETCH_INTERVAL) {
            return Ok(None);
        }
        self.fetch().await?;
        *last_fetch = Some(Instant::now());
        Ok(self.known(kid))
    }
}
