//! Verifies what stands in `authorization`: an access token of an account, an API key, or a service token.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use tonic::Status;
use uuid::Uuid;

use super::api_key::{self, ApiKey};
use super::authority::Authority;
use super::caller::{Caller, Role};
use super::exchange::Exchanges;
use super::scope::Scopes;
use super::service_token::{SERVICE_TOKEN_TYPE, ServiceSecret};
use crate::clock::SharedClock;
use crate::reason::Reason;

/// `typ` of an access token (RFC 9068, section 2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// Longer tokens are refused unread. Ours have some 500 bytes.
const LONGEST_TOKEN: usize = 4096;

/// Verified tokens that are remembered: some 10 MB at the most.
const MOST_VERIFIED: usize = 10_000;

/// What an access token says.
#[derive(Debug, Deserialize, Serialize)]
pub struct AccessClaims {
    pub iss: String,
    pub aud: String,
    /// The account.
    pub sub: Uuid,
    /// The login, or the API key, that the token comes from.
    pub sid: Uuid,
    /// The token itself.
    pub jti: Uuid,
    pub roles: Vec<String>,
    /// What the API key may be used for that the token comes from; none where it comes from a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Groups of sites to which an operator is limited; none where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_groups: Option<Arc<[String]>>,
    /// Seconds since 1970.
    pub iat: i64,
    /// Seconds since 1970.
    pub exp: i64,
}

/// An Ed25519 public key in a JSON Web Key Set (RFC 8037).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Jwk {
    pub kty: String,
    pub crv: String,
    pub kid: String,
    /// The key, in base64url.
    pub x: String,
    #[serde(rename = "use")]
    pub usage: String,
    pub alg: String,
}

/// Verifies tokens.
#[derive(Clone)]
pub struct Verifier {
    authority: Arc<dyn Authority>,
    exchanges: Arc<Exchanges>,
    service_secret: ServiceSecret,
    validation: Validation,
    clock: SharedClock,
    /// Tokens whose signature was good, so that it is not checked for every call of a client.
    verified: Arc<Cache<Box<str>, Arc<Verified>>>,
}

/// An access token whose signature was good.
struct Verified {
    /// The key that signed it. When that is gone, the token counts no more.
    kid: Box<str>,
    claims: AccessClaims,
}

impl Verifier {
    pub fn new(
        issuer: &str,
        audience: &str,
        authority: Arc<dyn Authority>,
        service_secret: ServiceSecret,
        clock: SharedClock,
    ) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Expiry is compared with the clock that was passed in.
        validation.validate_exp = false;
        Self {
            exchanges: Arc::new(Exchanges::new(Arc::clone(&authority), Arc::clone(&clock))),
            authority,
            service_secret,
            validation,
            clock,
            verified: Arc::new(Cache::new(MOST_VERIFIED)),
        }
    }

    /// Tells who sends this `Authorization` header. Where auth-service has to be asked about an API key, `leave` is waited for.
    ///
    /// # Errors
    /// It is not a bearer token, or not one that is valid now; or there is no leave to find that out.
    pub async fn caller<L>(&self, authorization: Option<&[u8]>, leave: impl Fn() -> L) -> Result<Caller, Status>
    where
        L: Future<Output = Result<(), Status>>,
    {
        let Some(authorization) = authorization else {
            return Ok(Caller::Anonymous);
        };
        let token = bearer(authorization)
            .ok_or_else(|| invalid("The Authorization header must be `Bearer` and an access token or an API key"))?;
        if token.starts_with(api_key::PREFIX) {
            self.api_key(token, leave).await
        } else {
            self.token(token).await
        }
    }

    async fn api_key<L>(&self, text: &str, leave: impl Fn() -> L) -> Result<Caller, Status>
    where
        L: Future<Output = Result<(), Status>>,
    {
        let refused = || invalid("The API key is not valid");
        let key = ApiKey::parse(text).ok_or_else(refused)?;
        let known = self.exchanges.token(&key, leave()).await?.ok_or_else(refused)?;
        match self.token(&known).await {
            // It has expired, or the account has changed since. The key may be good for another one.
            Err(status) if Reason::of(&status) == Reason::InvalidToken => {
                self.exchanges.forget(&key, &known);
                let anew = self.exchanges.token(&key, leave()).await?.ok_or_else(refused)?;
                self.token(&anew).await
            }
            caller => caller,
        }
    }

    async fn token(&self, token: &str) -> Result<Caller, Status> {
        // A token that was verified need not be taken apart again.
        if let Some(verified) = self.verified.get(token)
            && self.authority.has_key(&verified.kid)
        {
            return self.account(&verified.claims);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid("The access token cannot be read"))?;
        match (header.typ.as_deref(), header.kid) {
            (Some(SERVICE_TOKEN_TYPE), _) => self.service(token),
            (Some(ACCESS_TOKEN_TYPE), Some(kid)) => {
                let claims = self.verify(token, &kid).await?;
                let verified = Arc::new(Verified {
                    kid: kid.into(),
                    claims,
                });
                self.verified.insert(token.into(), Arc::clone(&verified));
                self.account(&verified.claims)
            }
            _ => Err(invalid("This is not an access token")),
        }
    }

    fn service(&self, token: &str) -> Result<Caller, Status> {
        self.service_secret
            .verify(token, self.clock.now().timestamp())
            .map(|name| Caller::Service { name })
            .ok_or_else(|| invalid("The service token is not valid"))
    }

    /// Whether this is what one of our own processes sends as `authorization`.
    pub(super) fn is_service(&self, authorization: &[u8]) -> bool {
        bearer(authorization)
            .and_then(|token| self.service_secret.verify(token, self.clock.now().timestamp()))
            .is_some()
    }

    pub(super) async fn follow(&self) {
        self.authority.follow().await;
    }

    /// Whose token it is, if it is valid now.
    fn account(&self, claims: &AccessClaims) -> Result<Caller, Status> {
        let now = self.clock.now().timestamp();
        if claims.exp <= now {
            return Err(invalid("The access token has expired"));
        }
        if claims.iat > now + ALLOWED_SKEW_SECONDS {
            return Err(invalid("The access token is from the future"));
        }
        if self.authority.revocations().contain(claims.sid, claims.iat) {
            return Err(invalid("The access token has been revoked"));
        }
        Ok(Caller::Account {
            id: claims.sub,
            roles: claims.roles.iter().filter_map(|name| Role::parse(name)).collect(),
            session: claims.sid,
            token_id: claims.jti,
            scopes: claims.scope.as_deref().map(Scopes::parse),
            site_groups: claims.site_groups.clone(),
        })
    }

    /// What a token says that is signed by one of our keys and meant for us.
    async fn verify(&self, token: &str, kid: &str) -> Result<AccessClaims, Status> {
        let key = self.authority.verification_key(kid).await.map_err(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "Access tokens cannot be verified"
            );
            Reason::Unavailable.status("Access tokens cannot be verified just now")
        })?;
        let key = key.ok_or_else(|| invalid("The access token is signed by an unknown key"))?;
        jsonwebtoken::decode::<AccessClaims>(token, &key, &self.validation)
            .map(|token| token.claims)
            .map_err(|_| invalid("The access token is not valid"))
    }
}

/// How far the clocks of two of our machines may be apart.
const ALLOWED_SKEW_SECONDS: i64 = 30;

fn bearer(authorization: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(authorization).ok()?;
    let (scheme, token) = text.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && token.len() <= LONGEST_TOKEN).then_some(token)
}

fn invalid(message: &'static str) -> Status {
    Reason::InvalidToken.status(message)
}
