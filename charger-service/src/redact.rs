//! Keeps secrets out of what is stored and shown. In OCPP 1.6 there are two: the configuration key `AuthorizationKey`, with which a
//! charge point logs in, and what lets it in where files are. The first travels in ChangeConfiguration and in the answer to
//! GetConfiguration, the second in the locations of firmware, diagnostics and logs.
//!
//! Codes that people type in are secrets too: [`id_tags`] finds what may be one.

mod id_tags;
pub mod location;

pub use self::id_tags::{IdTags, id_tags};

use std::borrow::Cow;

use serde_json::Value;

/// The configuration key that is a password.
pub const SECRET_KEY: &str = "AuthorizationKey";
const STARS: &str = "***";

/// In place of what may hold a secret anywhere.
pub const WITHHELD: &str = "(withheld, because it may hold a password)";

/// As some write it in JSON.
const ESCAPED_TRANSFERS: &str = "\\/ocpp\\/transfers\\/";

/// A CALL's payload without its secret. Anything else stays as it is, byte for byte.
pub fn request<'a>(action: &str, payload: &'a str) -> Cow<'a, str> {
    if location::is_in(action) {
        return rewritten(payload, location::hide_all);
    }
    if action != "ChangeConfiguration" || !may_name_a_secret(payload) {
        return Cow::Borrowed(payload);
    }
    rewritten(payload, hide_value)
}

/// Whether a CALL's payload has lost its secret, so that it cannot be sent again.
pub fn is_redacted(action: &str, payload: &str) -> bool {
    if location::is_in(action) {
        return serde_json::from_str(payload).is_ok_and(|payload| location::is_hidden_in(&payload));
    }
    action == "ChangeConfiguration"
        && may_name_a_secret(payload)
        && serde_json::from_str::<Value>(payload)
            .is_ok_and(|payload| payload.get("value").and_then(Value::as_str) == Some(STARS))
}

/// The payload of a CALLRESULT without its secret.
pub fn response<'a>(action: &str, payload: &'a str) -> Cow<'a, str> {
    if location::names_file(action) {
        return rewritten(payload, location::hide_file_name);
    }
    if action != "GetConfiguration" || !may_name_a_secret(payload) {
        return Cow::Borrowed(payload);
    }
    rewritten(payload, |payload| {
        let keys = payload.get_mut("configurationKey").and_then(Value::as_array_mut);
        keys.into_iter().flatten().for_each(hide_value);
    })
}

/// A frame that could not be placed. Nobody knows what it means, so one that may hold the secret is withheld as a whole.
pub fn unplaced(frame: &str) -> &str {
    if may_name_a_secret(frame) || frame.contains(location::TRANSFERS) || frame.contains(ESCAPED_TRANSFERS) {
        WITHHELD
    } else {
        frame
    }
}

/// Key names are compared without case, as charge points do, and may be written with JSON escapes.
fn may_name_a_secret(json: &str) -> bool {
    let lower = json.to_ascii_lowercase();
    lower.contains("authorizationkey") || lower.contains("\\u00")
}

/// Whether the value of a configuration key is one.
pub fn is_secret(key: &str) -> bool {
    key.trim().eq_ignore_ascii_case(SECRET_KEY)
}

fn hide_value(entry: &mut Value) {
    let is_secret = entry.get("key").and_then(Value::as_str).is_some_and(is_secret);
    if let (true, Some(value)) = (is_secret, entry.get_mut("value")) {
        *value = Value::from(STARS);
    }
}

fn rewritten(json: &str, hide: impl FnOnce(&mut Value)) -> Cow<'_, str> {
    match serde_json::from_str::<Value>(json) {
        Ok(mut value) => {
            let before = value.clone();
            hide(&mut value);
            if value == before {
                Cow::Borrowed(json)
            } else {
                Cow::Owned(value.to_string())
            }
        }
        Err(_) => Cow::Borrowed(STARS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_on_its_way_to_the_charge_point_is_hidden() {
        for key in ["AuthorizationKey", "authorizationkey", "Authorization\\u004bey"] {
            let payload = format!(r#"{{"key":"{key}","value":"0123456789abcdef"}}"#);
            let shown = request("ChangeConfiguration", &payload);
            assert!(!shown.contains("0123456789abcdef"), "{shown}");
            assert!(shown.contains(r#""value":"***""#), "{shown}");
        }
    }

    #[test]
    fn a_password_that_the_charge_point_reads_out_is_hidden_and_nothing_else() {
        let payload = r#"{"configurationKey":[{"key":"HeartbeatInterval","readonly":false,"value":"300"},{"key":"AuthorizationKey","readonly":false,"value":"secret"}]}"#;
        let shown = response("GetConfiguration", payload);
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("300"), "{shown}");
    }

    #[test]
    fn what_lets_in_where_a_file_is_is_hidden_in_every_message_that_says_where() {
        for (action, payload) in [
            (
                "UpdateFirmware",
                r#"{"location":"ftp:\/\/u:secret@h\/f","retrieveDate":"2026-03-01T12:00:00Z"}"#,
            ),
            ("GetDiagnostics", r#"{"location":"https://h/ocpp/transfers/secret/"}"#),
            (
                "GetLog",
                r#"{"log":{"remoteLocation":"ftp://u:secret@h/f"},"requestId":1}"#,
            ),
            (
                "SignedUpdateFirmware",
                r#"{"firmware":{"location":"https://h/ocpp/transfers/secret/f"}}"#,
            ),
        ] {
            let shown = request(action, payload);
            assert!(!shown.contains("secret") && shown.contains(STARS), "{shown}");
            assert!(is_redacted(action, &shown) && !is_redacted(action, payload), "{shown}");
            assert_eq!(request(action, &shown), shown, "hidden once for all");
        }
        let open = r#"{"location": "https://h/f"}"#;
        assert!(matches!(request("GetDiagnostics", open), Cow::Borrowed(same) if same == open));
        assert!(!is_redacted("GetDiagnostics", open));
    }

    #[test]
    fn a_charge_point_that_calls_its_file_by_the_url_that_it_was_told_does_not_give_it_away() {
        for (action, payload) in [
            (
                "GetDiagnostics",
                r#"{"fileName":"https:\/\/h\/ocpp\/transfers\/secret\/d.zip"}"#,
            ),
            (
                "GetLog",
                r#"{"status":"Accepted","filename":"https://h/ocpp/transfers/secret/"}"#,
            ),
            ("GetLog", r#"{"status":"Accepted","filename":"ftp://u:secret@h/d.zip"}"#),
        ] {
            let shown = response(action, payload);
            assert!(!shown.contains("secret") && shown.contains(STARS), "{shown}");
        }
        let plain = r#"{ "fileName":"d.zip" }"#;
        assert!(matches!(response("GetDiagnostics", plain), Cow::Borrowed(same) if same == plain));
    }

    #[test]
    fn what_holds_no_secret_stays_as_it_came() {
        let payload = r#"{ "key":"HeartbeatInterval", "value":"3.0e2" }"#;
        assert!(matches!(request("ChangeConfiguration", payload), Cow::Borrowed(same) if same == payload));
        let payload = r#"{"status":"Accepted"}"#;
        assert!(matches!(response("Reset", payload), Cow::Borrowed(same) if same == payload));
    }

    #[test]
    fn a_frame_that_nobody_can_place_is_withheld_if_it_names_the_secret() {
        assert!(
            !unplaced(r#"[3,"1",{"configurationKey":[{"key":"AuthorizationKey","value":"s"}]}]"#).contains("\"s\"")
        );
        assert!(
            !unplaced(r#"[4,"1","GenericError","",{"location":"http:\/\/h\/ocpp\/transfers\/s\/"}]"#).contains("/s")
        );
        assert_eq!(unplaced("hello"), "hello");
    }
}
