//! Access tokens: JWTs of the type `at+jwt` (RFC 9068), signed with Ed25519 and valid for minutes. Whoever holds the
//! public keys verifies them without asking; that is `service_kit::access`, not this module.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, Header};
use service_kit::access::{ACCESS_TOKEN_TYPE, AccessClaims};
use uuid::Uuid;

use crate::account::Account;
use crate::signing_key::SigningKeys;

/// Signs the tokens of this installation.
#[derive(Clone)]
pub struct AccessTokens {
    pub keys: SigningKeys,
    pub issuer: String,
    pub audience: String,
    pub lifetime: Duration,
}

impl AccessTokens {
    /// A token for `account`, that says which `session` it comes from.
    ///
    /// # Errors
    /// Signing failed, for which a key that was loaded gives no cause.
    pub fn issue(
        &self,
        account: &Account,
        session: Uuid,
        now: DateTime<Utc>,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(account, session, None, now, now + self.lifetime)
    }

    /// A token for whoever shows this API key of `account`, good for these scopes and no longer than the key itself.
    ///
    /// # Errors
    /// As above.
    pub fn issue_for_key(
        &self,
        account: &Account,
        key: Uuid,
        scopes: &[String],
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let until = (now + self.lifetime).min(expires_at);
        self.sign(account, key, Some(scopes.join(" ")), now, until)
    }

    fn sign(
        &self,
        account: &Account,
        origin: Uuid,
        scope: Option<String>,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let keys = self.keys.known();
        let key = keys.signer(now);
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(ACCESS_TOKEN_TYPE.to_owned());
        header.kid = Some(key.kid().to_owned());
        let claims = AccessClaims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: account.id,
            sid: origin,
            jti: Uuid::now_v7(),
            roles: account.roles.clone(),
            scope,
            site_groups: account.site_groups.as_deref().map(Arc::from),
            iat: now.timestamp(),
            exp: until.timestamp(),
        };
        jsonwebtoken::encode(&header, &claims, key.private())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::TimeDelta;
    use jsonwebtoken::EncodingKey;
    use serde_json::{Value, json};
    use service_kit::access::{Caller, ServiceSecret, Verifier};
    use service_kit::clock::SystemClock;
    use sqlx::PgPool;

    use super::*;
    use crate::authority::OwnAuthority;
    use crate::revocation::Feed;
    use crate::signing_key::rotation::Rotation;
    use service_kit::sealing::SealingKey;

    fn tokens() -> AccessTokens {
        AccessTokens {
            keys: SigningKeys::from_seed([7; 32]),
            issuer: "voltgate".to_owned(),
            audience: "voltgate".to_owned(),
            lifetime: Duration::from_secs(300),
        }
    }

    fn ada() -> Account {
        Account {
            id: Uuid::now_v7(),
            username: "ada".to_owned(),
            roles: vec!["driver".to_owned()],
            site_groups: None,
        }
    }

    /// Knows the keys, and of no revocation.
    fn authority() -> OwnAuthority {
        let database = PgPool::connect_lazy("postgres://127.0.0.1:1/nowhere").unwrap();
        let rotation = Rotation {
            database: database.clone(),
            sealing: SealingKey::derive("test", "of no matter here"),
            clock: Arc::new(SystemClock),
            keys: tokens().keys,
            period: TimeDelta::days(30),
            lifetime: TimeDelta::minutes(5),
        };
        OwnAuthority::new(Arc::new(rotation), Feed::new(database, Arc::new(SystemClock)), tokens())
    }

    /// What everybody who accepts our tokens runs.
    async fn verify(token: &str) -> Result<Caller, tonic::Status> {
        let verifier = Verifier::new(
            "voltgate",
            "voltgate",
            Arc::new(authority()),
            ServiceSecret::new(b"of no matter here"),
            Arc::new(SystemClock),
        );
        let bearer = format!("Bearer {token}");
        verifier
            .caller(Some(bearer.as_bytes()), || std::future::ready(Ok(())))
            .await
    }

    #[tokio::test]
    async fn a_token_proves_the_account_that_it_was_issued_for() {
        let account = ada();
        let token = tokens().issue(&account, Uuid::now_v7(), Utc::now()).unwrap();
        let Caller::Account { id, roles, .. } = verify(&token).await.unwrap() else {
            panic!("{token}")
        };
        assert_eq!(id, account.id);
        assert_eq!(roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(), ["driver"]);
    }

    #[test]
    fn a_token_says_what_the_security_page_demands_and_nothing_else() {
        let (account, session) = (ada(), Uuid::now_v7());
        let token = tokens()
            .issue(&account, session, DateTime::from_timestamp(1_000, 0).unwrap())
            .unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!((header.typ.as_deref(), header.alg), (Some("at+jwt"), Algorithm::EdDSA));
        assert_eq!(
            header.kid.as_deref(),
            Some(tokens().keys.known().signer(Utc::now()).kid())
        );
        let mut claims: Value = jsonwebtoken::dangerous::insecure_decode(&token).unwrap().claims;
        assert!(Uuid::parse_str(claims["jti"].take().as_str().unwrap()).is_ok());
        assert_eq!(
            claims,
            json!({
                "iss": "voltgate", "aud": "voltgate", "sub": account.id, "sid": session, "jti": null,
                "roles": ["driver"], "iat": 1_000, "exp": 1_300,
            })
        );
    }

    /// Each of these is signed with the right key, so that nothing but what it says speaks against it.
    #[tokio::test]
    async fn a_token_with_a_good_signature_is_refused_for_what_it_says() {
        let now = Utc::now().timestamp();
        let good = json!({
            "iss": "voltgate", "aud": "voltgate", "sub": Uuid::now_v7(), "sid": Uuid::now_v7(), "jti": Uuid::now_v7(),
            "roles": ["driver"], "iat": now, "exp": now + 300,
        });
        let sign = |typ: &str, claims: &Value| {
            let mut header = Header::new(Algorithm::EdDSA);
            header.typ = Some(typ.to_owned());
            header.kid = Some(tokens().keys.known().signer(Utc::now()).kid().to_owned());
            jsonwebtoken::encode(&header, claims, tokens().keys.known().signer(Utc::now()).private()).unwrap()
        };
        assert!(verify(&sign("at+jwt", &good)).await.is_ok());
        for typ in ["JWT", "jwt", "service+jwt", "id+jwt", ""] {
            assert!(verify(&sign(typ, &good)).await.is_err(), "typ {typ:?}");
        }
        for (claim, value) in [
            ("aud", json!("elsewhere")),
            ("aud", json!([])),
            ("aud", Value::Null),
            ("iss", json!("somebody else")),
            ("exp", json!(now)),
            ("exp", json!(now - 1)),
            ("exp", json!("never")),
            ("exp", Value::Null),
            ("iat", json!(now + TimeDelta::hours(1).num_seconds())),
            ("sub", json!("ada")),
            ("roles", json!("admin")),
            ("jti", Value::Null),
        ] {
            let mut changed = good.clone();
            changed[claim] = value.clone();
            assert!(verify(&sign("at+jwt", &changed)).await.is_err(), "{claim}: {value}");
            if let Some(claims) = changed.as_object_mut() {
                claims.remove(claim);
            }
            assert!(verify(&sign("at+jwt", &changed)).await.is_err(), "without {claim}");
        }
    }

    #[tokio::test]
    async fn a_token_signed_with_another_key_under_our_key_id_is_refused() {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(tokens().keys.known().signer(Utc::now()).kid().to_owned());
        let genuine = tokens().issue(&ada(), Uuid::now_v7(), Utc::now()).unwrap();
        let claims: Value = jsonwebtoken::dangerous::insecure_decode(&genuine).unwrap().claims;
        let other: &EncodingKey = &SigningKeys::from_seed([8; 32])
            .known()
            .signer(Utc::now())
            .private()
            .clone();
        assert!(
            verify(&jsonwebtoken::encode(&header, &claims, other).unwrap())
                .await
                .is_err()
        );
    }
}
