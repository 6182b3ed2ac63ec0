//! The discovery document (OpenID Connect Discovery 1.0, section 4; RFC 8414): what a verifier of our access tokens has to
//! know, found under the issuer that the tokens name.
//!
//! An issuer can only be found where it is a URL. Voltgate asks for tokens by its own REST API and not by the flows of
//! OAuth, so the document names no endpoint of theirs.

use serde_json::{Value, json};

/// None where the issuer is no https URL.
pub fn document(issuer: &str) -> Option<Value> {
    let url = url::Url::parse(issuer).ok()?;
    if url.scheme() != "https" || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    let base = issuer.trim_end_matches('/');
    Some(json!({
        "issuer": issuer,
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "subject_types_supported": ["public"],
        "response_types_supported": [],
        "grant_types_supported": [],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_that_is_an_https_url_is_found_with_its_keys() {
        for issuer in ["https://voltgate.example.com", "https://example.com/voltgate/"] {
            let document = document(issuer).unwrap_or_default();
            assert_eq!(document["issuer"], issuer, "to the letter, as in `iss`");
            let keys = document["jwks_uri"].as_str().unwrap_or_default();
            assert!(keys.starts_with(issuer) && keys.ends_with("/.well-known/jwks.json") && !keys.contains("//."));
        }
    }

    #[test]
    fn any_other_issuer_is_not_found() {
        for issuer in [
            "voltgate",
            "",
            "http://voltgate.example.com",
            "https://example.com?x=1",
            "https://example.com#x",
        ] {
            assert_eq!(document(issuer), None, "{issuer}");
        }
    }
}
