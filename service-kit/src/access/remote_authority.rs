//! auth-service as the other processes see it: its keys, fetched and kept, its revocations, followed as a stream, and API
//! keys, exchanged for tokens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use http::Uri;
use http::uri::InvalidUri;
use jsonwebtoken::DecodingKey;
use prost_types::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Status};
use uuid::Uuid;
use voltgate_proto::auth::v1::auth_service_client::AuthServiceClient;
use voltgate_proto::auth::v1::verification_service_client::VerificationServiceClient;
use voltgate_proto::auth::v1::{
    ExchangeApiKeyRequest, GetJwksRequest, WatchRevocationsRequest, WatchRevocationsResponse,
};

use super::api_key::ApiKey;
use super::authority::{Authority, AuthorityUnavailable};
use super::revocations::{Revocation, Revocations};
use super::service_token::ServiceTokens;
use super::unknown_keys::UnknownKeys;
use super::verification_keys::{KeySet, Outdated, VerificationKeys};
use crate::clock::SharedClock;
use crate::start::StartError;
use crate::tls::{self, ServiceTls};

/// An unknown key id asks auth-service again, but not more often than this, so that made-up ids cost nothing.
const REFETCH_INTERVAL: Duration = Duration::from_secs(5);

/// How long auth-service may take to answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// How long whoever asks for the very first key waits for the revocations too.
const FIRST_REVOCATIONS: Duration = Duration::from_secs(1);

/// Between two attempts to follow the revocations. The stream is what makes a logout count within a second, so it is
/// sought more eagerly than a service that is down would need.
const RECONNECT: Duration = Duration::from_millis(200);

/// A stream on which the other side is not heard of is given up after this long: a connection may break unnoticed.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Keys of auth-service are fetched when an id is unknown, once for all callers, and kept: an outage of auth-service
/// does not keep tokens from being verified. Revocations are kept too; during an outage there are no new ones, so that a
/// token of a session that ended meanwhile is good until it expires.
pub struct RemoteAuthority {
    keys: Arc<Keys>,
    verification: VerificationServiceClient<Channel>,
    service_tokens: ServiceTokens,
    clock: SharedClock,
    unknown: UnknownKeys,
    revocations: Revocations,
    /// Whether it tells its revocations now.
    followed: AtomicBool,
}

/// What is known of the keys, and where more is to be had.
struct Keys {
    client: AuthServiceClient<Channel>,
    known: RwLock<VerificationKeys>,
    /// Whether auth-service has answered with keys because of an unknown id.
    answered: AtomicBool,
    /// Whether auth-service has told all its revocations at least once.
    told: watch::Sender<bool>,
}

impl Keys {
    fn get(&self, kid: &str) -> Option<DecodingKey> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(kid)
            .cloned()
    }

    async fn fetch(&self) -> Result<(), AuthorityUnavailable> {
        let mut request = Request::new(GetJwksRequest {});
        request.set_timeout(FETCH_TIMEOUT);
        let mut client = self.client.clone();
        let answer = timeout(FETCH_TIMEOUT, client.get_jwks(request)).await;
        let body = answer
            .map_err(|late| AuthorityUnavailable(late.into()))?
            .map_err(|status| AuthorityUnavailable(status.into()))?
            .into_inner();
        let set: KeySet = serde_json::from_slice(&body.data).map_err(|error| AuthorityUnavailable(error.into()))?;
        let (keys, revision) = set.read().map_err(|error| AuthorityUnavailable(error.into()))?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known
            .replace(keys, revision)
            .map_err(|outdated| AuthorityUnavailable(outdated.into()))
    }

    /// The same because of an unknown id. Right after a start the revocations are on their way, and a token should not slip in before
    /// them. Where they do not come, what holds during an outage holds.
    async fn look(&self) -> Result<(), AuthorityUnavailable> {
        self.fetch().await?;
        if !self.answered.swap(true, Ordering::Relaxed) {
            let mut told = self.told.subscribe();
            let _ = timeout(FIRST_REVOCATIONS, told.wait_for(|told| *told)).await;
        }
        Ok(())
    }

    /// Lets go of every key but these, and fetches those that are new, so that nobody has to wait for them.
    async fn keep(&self, valid: &[String], revision: i64) {
        let kept = {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.keep(valid, revision)
        };
        match kept {
            Ok(true) => {}
            Ok(false) => {
                if let Err(error) = self.fetch().await {
                    tracing::debug!(%error, "A new signing key is fetched later");
                }
            }
            Err(Outdated) => tracing::debug!(revision, "A replica has not heard of the newest signing keys yet"),
        }
    }
}

impl RemoteAuthority {
    /// # Errors
    /// `url` is not one, or is `http` where mutual TLS is set up.
    pub fn new(
        url: &str,
        tls: Option<&ServiceTls>,
        service_tokens: ServiceTokens,
        clock: SharedClock,
    ) -> Result<Self, StartError> {
        let address: Uri = url
            .parse()
            .map_err(|error: InvalidUri| StartError::setting("AUTH_URL", error.to_string()))?;
        tls::check_scheme(tls, &address, "AUTH_URL")?;
        let channel = tls::channel(tls, address, |endpoint| {
            endpoint
                .connect_timeout(FETCH_TIMEOUT)
                .http2_keep_alive_interval(KEEPALIVE)
                .keep_alive_timeout(KEEPALIVE)
        });
        Ok(Self {
            keys: Arc::new(Keys {
                client: AuthServiceClient::new(channel.clone()),
                known: RwLock::default(),
                answered: AtomicBool::new(false),
                told: watch::Sender::new(false),
            }),
            verification: VerificationServiceClient::new(channel),
            service_tokens,
            clock,
            unknown: UnknownKeys::new(REFETCH_INTERVAL),
            revocations: Revocations::default(),
            followed: AtomicBool::new(false),
        })
    }

    /// Follows one stream to its end.
    async fn follow_once(&self) -> Result<(), Status> {
        let request = self.service_tokens.sign(WatchRevocationsRequest {})?;
        let mut stream = self.verification.clone().watch_revocations(request).await?.into_inner();
        while let Some(told) = stream.message().await? {
            if !told.key_ids.is_empty() {
                self.keys.keep(&told.key_ids, told.keys_revision).await;
            }
            self.take_in(told);
        }
        Ok(())
    }

    fn take_in(&self, told: WatchRevocationsResponse) {
        let now = self.clock.now().timestamp();
        let revocations = told.revocations.iter().filter_map(|told| {
            let session = Uuid::parse_str(&told.session_id).ok()?;
            let seconds = |time: Option<Timestamp>| time.map(|time| time.seconds);
            Some(Revocation {
                session,
                issued_before: seconds(told.issued_before),
                expires_at: seconds(told.expires_at)?,
            })
        });
        self.revocations.add(revocations, now);
        if told.complete {
            metrics::gauge!("voltgate_revocations_followed").set(1);
            self.followed.store(true, Ordering::Relaxed);
            self.keys.told.send_replace(true);
        }
    }
}

#[async_trait]
impl Authority for RemoteAuthority {
    async fn verification_key(&self, kid: &str) -> Result<Option<DecodingKey>, AuthorityUnavailable> {
        if let Some(key) = self.keys.get(kid) {
            return Ok(Some(key));
        }
        let look = || {
            let keys = Arc::clone(&self.keys);
            async move { keys.look().await }
        };
        self.unknown.find(|| self.keys.get(kid), look).await
    }

    fn has_key(&self, kid: &str) -> bool {
        self.keys.get(kid).is_some()
    }

    async fn exchange(&self, key: &ApiKey) -> Result<Option<String>, AuthorityUnavailable> {
        let asked = ExchangeApiKeyRequest { api_key: key.write() };
        let exchange = async {
            let mut request = self.service_tokens.sign(asked)?;
            request.set_timeout(FETCH_TIMEOUT);
            self.verification.clone().exchange_api_key(request).await
        };
        timeout(FETCH_TIMEOUT, exchange)
            .await
            .map_err(|late| AuthorityUnavailable(late.into()))?
            .map(|answer| answer.into_inner().access_token)
            .map_err(|status| AuthorityUnavailable(status.into()))
    }

    fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    async fn follow(&self) {
        loop {
            let ended = self.follow_once().await;
            // Once for each outage: it is tried several times a second.
            if self.followed.swap(false, Ordering::Relaxed) {
                let status = ended.err().unwrap_or_else(|| Status::ok("the stream ended"));
                tracing::warn!(%status, "Revocations of access tokens are not followed any more; trying again");
            }
            metrics::gauge!("voltgate_revocations_followed").set(0);
            tokio::time::sleep(RECONNECT).await;
        }
    }
}
