//! What a value is called in the language of the mail. Messages keep times and kinds as programs know them, so that a message can be
//! written in any language, also in one that was added since.

mod notices;
mod receipt;

use chrono::{DateTime, Datelike, Utc};
use serde_json::{Map, Value};

use super::Language;

/// The same values with times and kinds put into words. What was put into words before, by an earlier version, stays as it is.
pub(super) fn in_words(language: Language, variables: &Value) -> Value {
    let mut variables = variables.clone();
    let Some(fields) = variables.as_object_mut() else {
        return variables;
    };
    for name in ["until", "at"] {
        if let Some(text) = fields
            .get(name)
            .and_then(Value::as_str)
            .and_then(|text| time(language, text))
        {
            fields.insert(name.to_owned(), text.into());
        }
    }
    if let Some(text) = fields.get("change").and_then(Value::as_str) {
        let text = change(language, text).map(Value::from);
        if let Some(text) = text {
            fields.insert("change".to_owned(), text);
        }
    }
    receipt::put_into_words(language, fields);
    notices::put_into_words(language, fields);
    variables
}

/// The objects in a list.
fn elements<'v>(fields: &'v mut Map<String, Value>, name: &str) -> impl Iterator<Item = &'v mut Map<String, Value>> {
    let list = fields.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// A field that is text.
fn text<'f>(fields: &'f Map<String, Value>, name: &str) -> Option<&'f str> {
    fields.get(name).and_then(Value::as_str)
}

/// For people of any time zone.
pub(super) fn time(language: Language, text: &str) -> Option<String> {
    let time = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    Some(match language {
        Language::English => time.format("%H:%M UTC on %-d %B %Y").to_string(),
        Language::German => {
            let month = MONTHS.get(time.month0() as usize)?;
            format!("{}. {month} {}, {} UTC", time.day(), time.year(), time.format("%H:%M"))
        }
    })
}

const MONTHS: [&str; 12] = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];

/// What has changed in how somebody signs in. `other` is one of a later version.
fn change(language: Language, kind: &str) -> Option<&'static str> {
    let (english, german) = match kind {
        "totp-added" => (
            "An authenticator app was added.",
            "Eine Authenticator-App wurde hinzugefügt.",
        ),
        "totp-removed" => (
            "The authenticator app was removed.",
            "Die Authenticator-App wurde entfernt.",
        ),
        "passkey-added" => ("A passkey was added.", "Ein Passkey wurde hinzugefügt."),
        "passkey-removed" => ("A passkey was removed.", "Ein Passkey wurde entfernt."),
        "recovery-codes-renewed" => (
            "New recovery codes were made; the old ones are void.",
            "Es gibt neue Wiederherstellungscodes; die alten gelten nicht mehr.",
        ),
        "api-key-created" => (
            "An API key was made, by which a program can act for you.",
            "Es gibt einen neuen API-Schlüssel, mit dem ein Programm für Sie handeln kann.",
        ),
        "email-change-requested" => (
            "Another mail address was asked for. It takes the place of this one once a code that was sent there is confirmed.",
            "Eine andere Mailadresse wurde verlangt. Sie tritt an die Stelle dieser, sobald ein Code von dort bestätigt ist.",
        ),
        "other" => ("The second factor was changed.", "Der zweite Faktor wurde geändert."),
        _ => return None,
    };
    Some(match language {
        Language::English => english,
        Language::German => german,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_and_kinds_are_words_of_the_language() {
        let told =
            json!({ "until": "2026-03-01T12:10:00Z", "change": "passkey-added", "username": "2026-03-01T12:10:00Z" });
        let english = in_words(Language::English, &told);
        assert_eq!(english["until"], "12:10 UTC on 1 March 2026");
        assert_eq!(english["change"], "A passkey was added.");
        assert_eq!(english["username"], told["username"]);
        let german = in_words(Language::German, &told);
        assert_eq!(german["until"], "1. März 2026, 12:10 UTC");
        assert_eq!(german["change"], "Ein Passkey wurde hinzugefügt.");
    }

    #[test]
    fn what_an_earlier_version_put_into_words_stays() {
        let told = json!({ "until": "12:10 UTC on 1 March 2026", "change": "A passkey was added." });
        assert_eq!(in_words(Language::German, &told), told);
        assert_eq!(in_words(Language::German, &Value::Null), Value::Null);
    }
}
