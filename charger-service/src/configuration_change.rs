//! Configuration keys of OCPP 1.6 that decide how a charge point connects, as a ChangeConfiguration sets them.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What a ChangeConfiguration asks for, where it concerns how the charge point connects.
#[derive(Clone, PartialEq, Eq)]
pub enum ConfigurationChange {
    /// `AuthorizationKey`
    Password(String),
    /// `SecurityProfile`, where it is a number that there is.
    SecurityProfile(i16),
}

#[derive(Deserialize)]
struct Request {
    key: String,
    value: String,
}

impl ConfigurationChange {
    /// None for any other command, and any other key. Keys have no case.
    pub fn read(action: &str, payload: &RawValue) -> Option<Self> {
        if action != "ChangeConfiguration" {
            return None;
        }
        let request: Request = serde_json::from_str(payload.get()).ok()?;
        match request.key.trim().to_ascii_lowercase().as_str() {
            "authorizationkey" => Some(Self::Password(request.value)),
            "securityprofile" => {
                let profile = request.value.trim().parse().ok()?;
                (0..=3).contains(&profile).then_some(Self::SecurityProfile(profile))
            }
            _ => None,
        }
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
        let payload = r#"{"key":"SecurityProfile","value":"2"}"#;
        assert!(read("ChangeConfiguration", payload) == Some(ConfigurationChange::SecurityProfile(2)));
        for value in ["4", "-1", "two", ""] {
            let payload = format!(r#"{{"key":"SecurityProfile","value":"{value}"}}"#);
            assert!(read("ChangeConfiguration", &payload).is_none(), "{value}");
        }
    }
}
