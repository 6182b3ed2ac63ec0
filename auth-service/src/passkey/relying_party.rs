//! This installation as browsers and devices know it: the domain that passkeys belong to, and the origins of the pages that
//! may ask for them. A passkey works for its domain only, so the domain is chosen once.

use std::fmt;

use serde_json::Value;
use thiserror::Error;
use url::Url;
use uuid::Uuid;
use webauthn_rs::WebauthnBuilder;
use webauthn_rs::prelude::{
    AuthenticationResult, CredentialID, DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Webauthn, WebauthnError,
};

use crate::random_token::CHALLENGE_LIFETIME;

/// Makes challenges and judges what comes back.
pub struct RelyingParty(Webauthn);

/// What is wrong with a setting, as the rest of a sentence that starts with its name.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum Misconfigured {
    #[error("{0}")]
    RpId(&'static str),
    #[error("{0}")]
    Origins(String),
}

/// Why an answer was not accepted. For the log; a client learns only that it was not.
#[derive(Debug, Error)]
pub enum Refused {
    #[error(transparent)]
    Webauthn(#[from] WebauthnError),
    #[error("the page that asked was shown inside a page of another site")]
    CrossOrigin,
}

/// What a client hands to `navigator.credentials`, as JSON.
pub type Options = String;

impl RelyingParty {
    /// # Errors
    /// An origin is none, or does not belong to the domain.
    pub fn new(rp_id: &str, origins: &str, name: &str) -> Result<Self, Misconfigured> {
        if rp_id.is_empty() || url::Host::parse(rp_id).map(|host| host.to_string()) != Ok(rp_id.to_owned()) {
            return Err(Misconfigured::RpId("is not a domain, such as example.com"));
        }
        let origins: Vec<Url> = origins
            .split(',')
            .map(str::trim)
            .filter(|origin| !origin.is_empty())
            .map(|origin| parse_origin(origin, rp_id))
            .collect::<Result<_, _>>()?;
        let Some(first) = origins.iter().find(|origin| origin.domain().is_some()) else {
            let problem = "names no web origin, such as https://console.example.com";
            return Err(Misconfigured::Origins(problem.to_owned()));
        };
        let builder = WebauthnBuilder::new(rp_id, first).map_err(|_| foreign(first, rp_id))?;
        let timeout = CHALLENGE_LIFETIME
            .to_std()
            .unwrap_or(webauthn_rs::DEFAULT_AUTHENTICATOR_TIMEOUT);
        let builder = origins.iter().filter(|origin| *origin != first).fold(
            builder.rp_name(name).timeout(timeout),
            WebauthnBuilder::append_allowed_origin,
        );
        builder.build().map(Self).map_err(|_| foreign(first, rp_id))
    }

    /// Asks for a new passkey of `account`, on a device that has none of `existing`.
    pub fn begin_registration(
        &self,
        account: Uuid,
        username: &str,
        existing: Vec<CredentialID>,
    ) -> Result<(Options, PasskeyRegistration), WebauthnError> {
        let (challenge, state) = self
            .0
            .start_passkey_registration(account, username, username, Some(existing))?;
        let mut options = options(serde_json::to_value(challenge))?;
        // Without a username, only what a device can discover by itself can log in.
        options["authenticatorSelection"]["residentKey"] = "required".into();
        options["authenticatorSelection"]["requireResidentKey"] = true.into();
        Ok((options.to_string(), state))
    }

    pub fn finish_registration(
        &self,
        credential: &RegisterPublicKeyCredential,
        state: &PasskeyRegistration,
    ) -> Result<Passkey, Refused> {
        refuse_cross_origin(&credential.response.client_data_json)?;
        Ok(self.0.finish_passkey_registration(credential, state)?)
    }

    /// Asks for a signature of whatever passkey of this domain a device has.
    pub fn begin_log_in(&self) -> Result<(Options, DiscoverableAuthentication), WebauthnError> {
        let (challenge, state) = self.0.start_discoverable_authentication()?;
        Ok((options(serde_json::to_value(challenge))?.to_string(), state))
    }

    /// Whose passkey a credential claims to be, and which.
    pub fn identify<'a>(&self, credential: &'a PublicKeyCredential) -> Option<(Uuid, &'a [u8])> {
        self.0.identify_discoverable_authentication(credential).ok()
    }

    pub fn finish_log_in(
        &self,
        credential: &PublicKeyCredential,
        state: DiscoverableAuthentication,
        passkey: &Passkey,
    ) -> Result<AuthenticationResult, Refused> {
        refuse_cross_origin(&credential.response.client_data_json)?;
        Ok(self
            .0
            .finish_discoverable_authentication_v2(credential, state, passkey)?)
    }
}

impl fmt::Debug for RelyingParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelyingParty")
    }
}

/// What stands below `publicKey` is what `PublicKeyCredential.parse…OptionsFromJSON()` takes.
fn options(challenge: Result<Value, serde_json::Error>) -> Result<Value, WebauthnError> {
    match challenge?.get_mut("publicKey") {
        Some(options) => Ok(options.take()),
        None => Err(WebauthnError::Configuration),
    }
}

/// A page of ours inside a page of another site may be asked for anything in our name. Browsers say so where it is the case.
fn refuse_cross_origin(client_data: &[u8]) -> Result<(), Refused> {
    let client_data: Value = serde_json::from_slice(client_data).map_err(WebauthnError::from)?;
    match &client_data["crossOrigin"] {
        Value::Null | Value::Bool(false) => Ok(()),
        _ => Err(Refused::CrossOrigin),
    }
}

/// A web origin of the domain or below it, or the origin of an app, such as `android:apk-key-hash:…`.
fn parse_origin(text: &str, rp_id: &str) -> Result<Url, Misconfigured> {
    let not_an_origin = || Misconfigured::Origins(format!("holds {text}, which is not an origin"));
    let origin = Url::parse(text).map_err(|_| not_an_origin())?;
    if !matches!(origin.scheme(), "http" | "https") {
        return if origin.has_host() {
            Err(not_an_origin())
        } else {
            Ok(origin)
        };
    }
    if origin.origin().ascii_serialization() != text.trim_end_matches('/') {
        return Err(not_an_origin());
    }
    let host = origin.host_str().unwrap_or_default();
    if host != rp_id && !host.ends_with(&format!(".{rp_id}")) {
        return Err(foreign(&origin, rp_id));
    }
    // Browsers offer WebAuthn to secure contexts only.
    if origin.scheme() == "http" && host != "localhost" && !host.ends_with(".localhost") {
        let problem = format!("holds {text}, where browsers offer no passkeys: it is not https");
        return Err(Misconfigured::Origins(problem));
    }
    Ok(origin)
}

fn foreign(origin: &Url, rp_id: &str) -> Misconfigured {
    let origin = origin.origin().ascii_serialization();
    Misconfigured::Origins(format!(
        "holds {origin}, which does not belong to {rp_id} (AUTH_PASSKEY_RP_ID)"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn misconfigured(rp_id: &str, origins: &str) -> String {
        RelyingParty::new(rp_id, origins, "Voltgate").err().unwrap().to_string()
    }

    #[test]
    fn origins_of_the_domain_below_it_and_of_apps_may_ask() {
        for (rp_id, origins) in [
            ("localhost", "http://localhost:8080"),
            ("example.com", "https://example.com, https://console.example.com:8443/"),
            ("example.com", "https://example.com,android:apk-key-hash:c2hhMjU2"),
        ] {
            assert!(
                RelyingParty::new(rp_id, origins, "Voltgate").is_ok(),
                "{rp_id} {origins}"
            );
        }
    }

    #[test]
    fn what_no_browser_would_accept_is_refused_at_the_start() {
        for (origins, problem) in [
            ("", "names no web origin"),
            ("android:apk-key-hash:c2hhMjU2", "names no web origin"),
            ("example.com", "is not an origin"),
            ("https://example.com/console", "is not an origin"),
            ("https://user@example.com", "is not an origin"),
            ("ftp://example.com", "is not an origin"),
            ("https://example.com.evil.org", "does not belong to example.com"),
            ("https://evil-example.com", "does not belong to example.com"),
            (
                "https://example.com,https://example.org",
                "does not belong to example.com",
            ),
            ("http://example.com", "it is not https"),
        ] {
            let said = misconfigured("example.com", origins);
            assert!(said.contains(problem), "{origins}: {said}");
        }
        for rp_id in ["", "https://example.com", "example.com/", "Example.com"] {
            assert!(
                misconfigured(rp_id, "https://example.com").contains("is not a domain"),
                "{rp_id}"
            );
        }
    }

    #[test]
    fn a_registration_asks_for_what_a_login_without_a_name_needs() {
        let relying_party = RelyingParty::new("localhost", "http://localhost:8080", "Voltgate").unwrap();
        let account = Uuid::now_v7();
        let (options, _) = relying_party.begin_registration(account, "ada", Vec::new()).unwrap();
        let options: Value = serde_json::from_str(&options).unwrap();
        assert_eq!(
            options["rp"],
            serde_json::json!({"id": "localhost", "name": "Voltgate"})
        );
        assert_eq!(options["authenticatorSelection"]["residentKey"], "required");
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
        assert_eq!(options["attestation"], "none");
        assert_eq!(options["timeout"], 300_000);
        let (options, _) = relying_party.begin_log_in().unwrap();
        let options: Value = serde_json::from_str(&options).unwrap();
        assert_eq!(
            (options["rpId"].as_str(), options["userVerification"].as_str()),
            (Some("localhost"), Some("required"))
        );
        assert_eq!(options["allowCredentials"], serde_json::json!([]));
    }
}
