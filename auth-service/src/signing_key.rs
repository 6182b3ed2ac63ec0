//! The Ed25519 keys that sign access tokens. The first service to start on an empty database makes one; all replicas
//! and all later starts use it, until the next one takes its place (`signing_key/rotation.rs`). The private half leaves the
//! database only sealed, the public half is in the JWKS.

pub mod rotation;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::Serialize;
use service_kit::access::Client;
use service_kit::event::timestamp;
use service_kit::{database, reason};
use sqlx::PgConnection;
use thiserror::Error;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use voltgate_proto::auth::v1::signing_key_service_server::SigningKeyService;
use voltgate_proto::auth::v1::{
    ListSigningKeysRequest, ListSigningKeysResponse, RotateSigningKeysRequest, SigningKey as SigningKeyResponse,
};

use self::rotation::Urgency;
use crate::State;
use crate::caller::LoggedInAs;
use service_kit::sealing::{DoesNotOpen, SealingKey};

/// What stands before the 32 bytes of a private key in its PKCS #8 form (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The 32 random bytes that an Ed25519 key is made of.
type Seed = [u8; 32];

#[derive(Debug, Error)]
pub enum SigningKeyError {
    #[error("AUTH_SECRET is not the secret that the signing keys in the database were sealed with")]
    Sealed(#[from] DoesNotOpen),
    #[error("a signing key in the database is not an Ed25519 key")]
    NotAKey(#[from] jsonwebtoken::errors::Error),
    #[error("the signing keys could not be read from the database")]
    Database(#[from] sqlx::Error),
}

impl From<SigningKeyError> for Status {
    fn from(error: SigningKeyError) -> Self {
        match error {
            SigningKeyError::Sealed(_) | SigningKeyError::NotAKey(_) => reason::internal(&error),
            SigningKeyError::Database(error) => database::failed(&error),
        }
    }
}

/// One key, ready to sign and to verify.
#[derive(Clone)]
pub struct SigningKey {
    private: EncodingKey,
    public: DecodingKey,
    jwk: Jwk,
    kid: String,
    signs_from: DateTime<Utc>,
    verifies_until: Option<DateTime<Utc>>,
}

impl SigningKey {
    fn from_seed(seed: &Seed, signs_from: DateTime<Utc>) -> Result<Self, jsonwebtoken::errors::Error> {
        let private = EncodingKey::from_ed_der(&[PKCS8_PREFIX.as_slice(), seed].concat());
        let mut jwk = Jwk::from_encoding_key(&private, Algorithm::EdDSA)?;
        // RFC 7638: the id follows from the key, so nobody has to agree on one.
        let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = DecodingKey::from_jwk(&jwk)?;
        Ok(Self {
            private,
            public,
            jwk,
            kid,
            signs_from,
            verifies_until: None,
        })
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn private(&self) -> &EncodingKey {
        &self.private
    }
}

/// All keys whose tokens are valid, the one that signs last first. There is always one.
pub struct KeySet {
    keys: Vec<SigningKey>,
    /// Of how many changes of the keys this is the outcome.
    revision: i64,
}

/// The public halves as a JSON Web Key Set (RFC 7517), which may have members of one's own.
#[derive(Serialize)]
pub struct PublicKeys<'a> {
    keys: Vec<&'a Jwk>,
    /// See [`KeySet::revision`].
    revision: i64,
}

impl KeySet {
    /// The key that signs at this time. Where the clock is behind that of whoever made the first key, that one.
    pub fn signer(&self, now: DateTime<Utc>) -> &SigningKey {
        let signs = |key: &&SigningKey| key.signs_from <= now;
        self.keys.iter().find(signs).unwrap_or(&self.keys[self.keys.len() - 1])
    }

    /// The public half of the key with this id.
    pub fn verification_key(&self, kid: &str) -> Option<DecodingKey> {
        self.keys
            .iter()
            .find(|key| key.kid == kid)
            .map(|key| key.public.clone())
    }

    pub fn contains(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid == kid)
    }

    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(SigningKey::kid)
    }

    /// Tells which of two sets is the newer one.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// What anybody may know of the keys.
    pub fn jwks(&self) -> PublicKeys<'_> {
        PublicKeys {
            keys: self.keys.iter().map(|key| &key.jwk).collect(),
            revision: self.revision,
        }
    }
}

/// The keys as this replica knows them. Clones share them.
#[derive(Clone)]
pub struct SigningKeys(watch::Sender<Arc<KeySet>>);

impl SigningKeys {
    fn new(keys: KeySet) -> Self {
        Self(watch::Sender::new(Arc::new(keys)))
    }

    pub fn known(&self) -> Arc<KeySet> {
        Arc::clone(&self.0.borrow())
    }

    /// Tells what is known now, and then every change.
    pub fn watch(&self) -> watch::Receiver<Arc<KeySet>> {
        self.0.subscribe()
    }

    /// Takes over what the database has. A set without a key is none: there is one in a transaction that is not seen yet.
    /// One that is older than what is known was read before it, and comes late.
    fn set(&self, read: KeySet) {
        let same = |one: &SigningKey, other: &SigningKey| {
            (&one.kid, one.signs_from, one.verifies_until) == (&other.kid, other.signs_from, other.verifies_until)
        };
        self.0.send_if_modified(|known| {
            if read.keys.is_empty() || read.revision < known.revision {
                return false;
            }
            let changed = known.revision != read.revision
                || known.keys.len() != read.keys.len()
                || known.keys.iter().zip(&read.keys).any(|(one, other)| !same(one, other));
            if changed {
                *known = Arc::new(read);
            }
            changed
        });
    }

    #[cfg(test)]
    pub fn from_seed(seed: Seed) -> Self {
        let key = SigningKey::from_seed(&seed, DateTime::UNIX_EPOCH).expect("any 32 bytes are a key");
        Self::new(KeySet {
            keys: vec![key],
            revision: 1,
        })
    }
}

/// The keys in the database, which may be none yet.
async fn stored(connection: &mut PgConnection, sealing: &SealingKey) -> Result<KeySet, SigningKeyError> {
    // One statement, so that the revision is that of these keys.
    let rows = sqlx::query!(
        "SELECT kid, sealed_seed, signs_from, verifies_until, revision
         FROM authentication.signing_key, authentication.signing_key_revision
         ORDER BY signs_from DESC, kid"
    )
    .fetch_all(connection)
    .await?;
    let revision = rows.first().map_or(0, |row| row.revision);
    let open = |kid: &str, sealed_seed: &[u8]| -> Result<Seed, DoesNotOpen> {
        sealing.open(sealed_seed, kid)?.try_into().map_err(|_| DoesNotOpen)
    };
    let keys = rows.into_iter().map(|row| {
        let key = SigningKey::from_seed(&open(&row.kid, &row.sealed_seed)?, row.signs_from)?;
        Ok(SigningKey {
            verifies_until: row.verifies_until,
            ..key
        })
    });
    Ok(KeySet {
        keys: keys.collect::<Result<_, SigningKeyError>>()?,
        revision,
    })
}

pub struct Grpc(pub Arc<State>);

impl Grpc {
    fn list(&self) -> Response<ListSigningKeysResponse> {
        let keys = self.0.tokens.keys.known();
        let signer = keys.signer(self.0.clock.now());
        let signing_keys = keys.keys.iter().map(|key| SigningKeyResponse {
            id: key.kid.clone(),
            state: if key.kid == signer.kid {
                "current"
            } else if key.signs_from > signer.signs_from {
                "next"
            } else {
                "old"
            }
            .to_owned(),
            signs_from: Some(timestamp(key.signs_from)),
            verifies_until: key.verifies_until.map(timestamp),
        });
        Response::new(ListSigningKeysResponse {
            signing_keys: signing_keys.collect(),
        })
    }
}

#[tonic::async_trait]
impl SigningKeyService for Grpc {
    async fn list_signing_keys(
        &self,
        _: Request<ListSigningKeysRequest>,
    ) -> Result<Response<ListSigningKeysResponse>, Status> {
        self.0.rotation.look().await?;
        Ok(self.list())
    }

    async fn rotate_signing_keys(
        &self,
        request: Request<RotateSigningKeysRequest>,
    ) -> Result<Response<ListSigningKeysResponse>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let urgency = if request.into_inner().compromised {
            Urgency::Compromised
        } else {
            Urgency::Now
        };
        self.0.rotation.by_command(urgency, &caller, &client).await?;
        Ok(self.list())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use chrono::TimeDelta;

    use super::*;

    /// The key of RFC 8037, appendix A.
    fn key_of_rfc_8037() -> SigningKey {
        let seed = URL_SAFE_NO_PAD
            .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .unwrap();
        SigningKey::from_seed(&seed.try_into().unwrap(), start()).unwrap()
    }

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn two_keys() -> KeySet {
        let next = SigningKey::from_seed(&[7; 32], start() + TimeDelta::hours(1)).unwrap();
        KeySet {
            keys: vec![next, key_of_rfc_8037()],
            revision: 2,
        }
    }

    #[test]
    fn the_public_key_and_its_id_follow_from_the_seed_as_in_rfc_8037() {
        let key = key_of_rfc_8037();
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(
            serde_json::to_value(&key.jwk).unwrap(),
            serde_json::json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                "use": "sig",
                "alg": "EdDSA",
            })
        );
    }

    #[test]
    fn the_key_set_holds_every_key_and_no_private_part() {
        let json = serde_json::to_value(two_keys().jwks()).unwrap();
        assert_eq!(json["keys"].as_array().unwrap().len(), 2);
        assert!(
            json["keys"]
                .as_array()
                .unwrap()
                .iter()
                .all(|key| key.get("d").is_none())
        );
    }

    #[test]
    fn a_key_is_found_by_its_id_only() {
        let keys = two_keys();
        assert!(keys.verification_key(key_of_rfc_8037().kid()).is_some());
        assert!(keys.verification_key("another").is_none());
    }

    #[test]
    fn what_was_read_before_the_last_change_and_comes_late_does_not_bring_a_void_key_back() {
        let keys = SigningKeys::new(two_keys());
        let only_the_next = KeySet {
            keys: vec![two_keys().keys.remove(0)],
            revision: 3,
        };
        keys.set(only_the_next);
        keys.set(two_keys());
        assert!(!keys.known().contains(key_of_rfc_8037().kid()));
        assert_eq!(keys.known().revision(), 3);
    }

    #[test]
    fn a_key_signs_from_its_time_on_and_the_one_before_until_then() {
        let keys = two_keys();
        let (next, first) = (&keys.keys[0].kid, &keys.keys[1].kid);
        let signer = |minutes| keys.signer(start() + TimeDelta::minutes(minutes)).kid();
        assert_eq!(signer(0), first);
        assert_eq!(signer(59), first);
        assert_eq!(signer(60), next);
        assert_eq!(signer(-10), first, "by a clock that is behind");
    }
}
