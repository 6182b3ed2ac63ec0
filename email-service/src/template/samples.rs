//! Values that are made up, to see a template by.

use serde_json::{Value, json};

use super::Template;

/// What is passed to a template, and the link where it has one.
pub(crate) fn sample(template: Template) -> Value {
    let code = "5Fz0yQmVn3oXwqK1c8Zt4rLhUu7aBdEeGgIiJjMmNnO";
    match template {
        Template::Welcome | Template::AccountDeleted => json!({ "username": "mara" }),
        Template::VerifyEmail | Template::ResetPassword => json!({
            "username": "mara",
            "code": code,
            "until": "2026-03-01T12:10:00Z",
        }),
        Template::PasswordChanged => json!({
            "username": "mara",
            "address": "203.0.113.7",
            "device": "Firefox on Linux",
        }),
        Template::EmailChanged => json!({ "username": "mara", "new_address": "m…@new.example" }),
        Template::KnownEmail => json!({}),
        Template::SecondFactorChanged => json!({ "username": "mara", "change": "passkey-added" }),
        Template::NewSignIn => json!({
            "username": "mara",
            "address": "203.0.113.7",
            "device": "Firefox on Linux",
            "at": "2026-03-01T12:00:00Z",
        }),
        Template::Letter => json!({
            "subject": "Works at your charging station",
            "paragraphs": [
                "the station in Harbour Street is out of service on Monday, from 8 to 12.",
                "The one at the town hall, five minutes away, is open as ever.",
            ],
        }),
    }
}
