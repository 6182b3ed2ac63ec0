//! The Ed25519 keys that sign access tokens. The first service to start on an empty database makes one; all replicas
//! and all later starts use it. The private half leaves the database only sealed, the public half is in the JWKS.

use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;

use crate::sealing::{DoesNotOpen, SealingKey};

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

/// One key, ready to sign and to verify.
#[derive(Clone)]
pub struct SigningKey {
    private: EncodingKey,
    public: DecodingKey,
    jwk: Jwk,
    kid: String,
}

impl SigningKey {
    fn from_seed(seed: &Seed) -> Result<Self, jsonwebtoken::errors::Error> {
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
        })
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn private(&self) -> &EncodingKey {
        &self.private
    }
}

/// All keys whose tokens are valid. There is always one that signs.
#[derive(Clone)]
pub struct SigningKeys {
    newest: SigningKey,
    older: Vec<SigningKey>,
}

impl SigningKeys {
    /// Reads the keys, and makes the first one if there is none. Replicas that start at once agree on it: the
    /// transaction lock lets one of them look and make at a time.
    pub async fn load_or_create(
        database: &PgPool,
        sealing: &SealingKey,
        now: DateTime<Utc>,
    ) -> Result<Self, SigningKeyError> {
        let mut transaction = database.begin().await?;
        lock(&mut transaction).await?;
        let mut stored = stored_newest_first(&mut transaction).await?.into_iter();
        let newest = match stored.next() {
            Some(row) => row.open(sealing)?,
            None => create(&mut transaction, sealing, now).await?,
        };
        let older = stored.map(|row| row.open(sealing)).collect::<Result<_, _>>()?;
        transaction.commit().await?;
        Ok(Self { newest, older })
    }

    /// The key that signs.
    pub fn newest(&self) -> &SigningKey {
        &self.newest
    }

    /// The public half of the key with this id.
    pub fn verification_key(&self, kid: &str) -> Option<DecodingKey> {
        self.all().find(|key| key.kid == kid).map(|key| key.public.clone())
    }

    /// The public keys as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self) -> JwkSet {
        JwkSet {
            keys: self.all().map(|key| key.jwk.clone()).collect(),
        }
    }

    #[cfg(test)]
    pub fn from_seed(seed: Seed) -> Self {
        Self {
            newest: SigningKey::from_seed(&seed).expect("any 32 bytes are a key"),
            older: Vec::new(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

struct StoredKey {
    kid: String,
    sealed_seed: Vec<u8>,
}

impl StoredKey {
    fn open(self, sealing: &SealingKey) -> Result<SigningKey, SigningKeyError> {
        let seed = sealing.open(&self.sealed_seed, &self.kid)?;
        let seed = Seed::try_from(seed).map_err(|_| DoesNotOpen)?;
        Ok(SigningKey::from_seed(&seed)?)
    }
}

async fn create(
    connection: &mut PgConnection,
    sealing: &SealingKey,
    now: DateTime<Utc>,
) -> Result<SigningKey, SigningKeyError> {
    let seed: Seed = rand::random();
    let key = SigningKey::from_seed(&seed)?;
    let sealed_seed = sealing.seal(&seed, &key.kid)?;
    sqlx::query!(
        "INSERT INTO authentication.signing_key (kid, sealed_seed, created_at) VALUES ($1, $2, $3)",
        key.kid,
        sealed_seed,
        now
    )
    .execute(connection)
    .await?;
    tracing::info!(kid = key.kid, "Made the first signing key");
    Ok(key)
}

async fn lock(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('authentication.signing_key', 0))")
        .execute(connection)
        .await?;
    Ok(())
}

async fn stored_newest_first(connection: &mut PgConnection) -> Result<Vec<StoredKey>, sqlx::Error> {
    sqlx::query_as!(
        StoredKey,
        "SELECT kid, sealed_seed FROM authentication.signing_key ORDER BY created_at DESC, kid"
    )
    .fetch_all(connection)
    .await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// The key of RFC 8037, appendix A.
    fn key_of_rfc_8037() -> SigningKey {
        let seed = URL_SAFE_NO_PAD
            .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .unwrap();
        SigningKey::from_seed(&seed.try_into().unwrap()).unwrap()
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
        let (newest, older) = (key_of_rfc_8037(), SigningKey::from_seed(&[7; 32]).unwrap());
        let keys = SigningKeys {
            newest,
            older: vec![older],
        };
        let json = serde_json::to_value(keys.jwks()).unwrap();
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
        let keys = SigningKeys {
            newest: key_of_rfc_8037(),
            older: Vec::new(),
        };
        assert!(keys.verification_key(key_of_rfc_8037().kid()).is_some());
        assert!(keys.verification_key("another").is_none());
    }
}
