//! How Voltgate's own processes prove themselves to each other: short-lived tokens under a shared secret.

use std::fmt;

use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tonic::{Request, Status};

use super::peer::CALLER;
use crate::clock::SharedClock;

/// `typ` of a service token, so that it can never be taken for an access token.
pub(super) const SERVICE_TOKEN_TYPE: &str = "service+jwt";

/// Seconds that a service token lives.
const LIFETIME: TimeDelta = TimeDelta::seconds(60);

#[derive(Debug, Deserialize, Serialize)]
struct Claims {
    /// The process that made it.
    iss: String,
    exp: i64,
}

/// The secret that Voltgate's own processes share.
#[derive(Clone)]
pub struct ServiceSecret {
    sign: EncodingKey,
    verify: DecodingKey,
}

impl ServiceSecret {
    pub fn new(secret: &[u8]) -> Self {
        Self {
            sign: EncodingKey::from_secret(secret),
            verify: DecodingKey::from_secret(secret),
        }
    }

    /// The name of the process that a token is from, where the token is genuine and still alive.
    pub(super) fn verify(&self, token: &str, now: i64) -> Option<String> {
        let mut validation = Validation::new(Algorithm::HS256);
        // Expiry is compared with the clock that was passed in.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "iss"]);
        let token = jsonwebtoken::decode::<Claims>(token, &self.verify, &validation).ok()?;
        (token.claims.exp > now).then_some(token.claims.iss)
    }
}

impl fmt::Debug for ServiceSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServiceSecret")
    }
}

/// Makes service tokens in the name of one process.
#[derive(Clone)]
pub struct ServiceTokens {
    name: &'static str,
    secret: ServiceSecret,
    clock: SharedClock,
}

impl ServiceTokens {
    pub fn new(name: &'static str, secret: ServiceSecret, clock: SharedClock) -> Self {
        Self { name, secret, clock }
    }

    /// A request that proves to be from this process.
    ///
    /// # Errors
    /// No token can be made.
    pub fn sign<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        let token = self.bearer();
        let token = token.map_err(|error| Status::internal(error.to_string()))?;
        let metadata = request.metadata_mut();
        metadata.insert(
            "authorization",
            token.parse().map_err(|_| Status::internal("a token is no header"))?,
        );
        metadata.insert(
            CALLER,
            self.name.parse().map_err(|_| Status::internal("a name is no header"))?,
        );
        Ok(request)
    }

    /// The process in whose name the tokens are.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A value for the metadata `authorization`, good for a minute.
    ///
    /// # Errors
    /// Signing failed, which a key made by [`ServiceSecret::new`] gives no cause for.
    pub fn bearer(&self) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(SERVICE_TOKEN_TYPE.to_owned());
        let claims = Claims {
            iss: self.name.to_owned(),
            exp: (self.clock.now() + LIFETIME).timestamp(),
        };
        Ok(format!(
            "Bearer {}",
            jsonwebtoken::encode(&header, &claims, &self.secret.sign)?
        ))
    }
}
