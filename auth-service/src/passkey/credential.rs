//! What a browser hands over, read from its JSON.

use serde::de::DeserializeOwned;
use service_kit::reason::FieldViolation;

/// # Errors
/// It is not what `PublicKeyCredential.toJSON()` writes.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, FieldViolation> {
    if json.is_empty() {
        return Err(FieldViolation::new("credential", "is required"));
    }
    serde_json::from_str(json).map_err(|_| FieldViolation::new("credential", "is not a credential of WebAuthn"))
}

/// The token of a challenge.
///
/// # Errors
/// There is none.
pub fn token(token: String) -> Result<String, FieldViolation> {
    if token.is_empty() {
        Err(FieldViolation::new("token", "is required"))
    } else {
        Ok(token)
    }
}
