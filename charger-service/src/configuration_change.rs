//! Configuration keys of OCPP 1.6 that decide how a charge point connects, as a ChangeConfiguration sets them.

use ocpp::v1_6::ChangeConfiguration;
use serde_json::value::RawValue;

use crate::redact;

/// What a ChangeConfiguration asks for, where it concerns how the charge point connects.
#[derive(Clone, PartialEq, Eq)]
pub enum ConfigurationChange {
    /// `AuthorizationKey`
    Password(String),
    /// `SecurityProfile`, where it is a number that there is.
    SecurityProfile(i16),
}

impl ConfigurationChange {
    /// None for any other command, and any other key. Keys have no case.
    pub fn read(action: &str, payload: &RawValue) -> Option<Self> {
        if action != "ChangeConfiguration" {
            return None;
        }
        let request = ChangeConfiguration::read(payload).ok()?;
        if redact::is_secret(&request.key) {
            return Some(Self::Password(ChangeConfiguration::secret(payload).ok()?));
        }
        if !request.key.trim().eq_ignore_ascii_case("SecurityProfile") {
            return None;
        }
        let profile = request.value.trim().parse().ok()?;
        (0..=3).contains(&profile).then_some(Self::SecurityProfile(profile))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(action: &str, payload: &str) -> Option<ConfigurationChange> {
        ConfigurationChange::read(action, serde_json::from_str(payload).unwrap())
    }

    #[test]
    fn keys_are_known_in_any_case_and_other_commands_do_not_count() {
        let payload = r#"{"key":"authorizationKEY","value":"secret"}"#;
        assert!(read("ChangeConfiguration", payload) == Some(ConfigurationChange::Password("secret".to_owned())));
        assert!(read("DataTransfer", payload).is_none());
        let payload = r#"{"key":"AuthorizationKey","value":"a\u0000b"}"#;
        assert!(read("ChangeConfiguration", payload) == Some(ConfigurationChange::Password("a\0b".to_owned())));
        let payload = r#"{"key":"SecurityProfile","value":"2"}"#;
        assert!(read("ChangeConfiguration", payload) == Some(ConfigurationChange::SecurityProfile(2)));
        for value in ["4", "-1", "two", ""] {
            let payload = format!(r#"{{"key":"SecurityProfile","value":"{value}"}}"#);
            assert!(read("ChangeConfiguration", &payload).is_none(), "{value}");
        }
    }
}
