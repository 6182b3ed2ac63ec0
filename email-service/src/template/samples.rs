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
        Template::Receipt => json!({
            "username": "mara",
            "transaction": 42,
            "site": "Harbour",
            "identity": "CP-1",
            "connector": 1,
            "started": "2026-03-01 13:00 (UTC+01:00)",
            "stopped": "2026-03-01 14:00 (UTC+01:00)",
            "zone": "Europe/Berlin",
            "energy": "12.345",
            "record": "01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e07",
            "corrected": false,
            "tariff": "Harbour 2026",
            "currency": "EUR",
            "total": "5.73",
            "lines": [
                { "part": "energy", "quantity": "12.345", "unit": "kWh", "price": "0.39", "tax": null, "percent": null, "amount": "4.81455" },
                { "part": "tax", "quantity": null, "unit": null, "price": null, "tax": "VAT", "percent": "19", "amount": "0.914765" },
                { "part": "rounding", "quantity": null, "unit": null, "price": null, "tax": null, "percent": null, "amount": "0.000685" },
            ],
            "remarks": [],
            "highest": "11.0",
            "power": [[0, 0], [60, 11_040], [1800, 11_010], [2700, 7400], [3540, 3600], [3600, 0]],
        }),
        Template::Notices => json!({
            "username": "mara",
            "subscription": "harbour",
            "count": 504,
            "parts": [
                {
                    "kind": "offline",
                    "count": 502,
                    "more": 500,
                    "named": [
                        { "identity": "CP-1", "site": "Harbour", "connector": null, "details": null, "at": "2026-03-01T12:00:00Z" },
                        { "identity": "CP-2", "site": null, "connector": null, "details": null, "at": "2026-03-01T12:00:01Z" },
                    ],
                },
                {
                    "kind": "faulted",
                    "count": 1,
                    "more": 0,
                    "named": [
                        { "identity": "CP-3", "site": "Harbour", "connector": 1, "details": "GroundFailure", "at": "2026-03-01T12:00:02Z" },
                    ],
                },
                {
                    "kind": "certificate-expiring",
                    "count": 1,
                    "more": 0,
                    "named": [
                        { "identity": "CP-4", "site": "Harbour", "connector": null, "details": "2026-03-31", "at": "2026-03-01T12:00:03Z" },
                    ],
                },
            ],
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
