//! What operators are told of.

use serde_json::{Map, Value};

use super::{elements, text, time};
use crate::template::Language;

pub(super) fn put_into_words(language: Language, fields: &mut Map<String, Value>) {
    for part in elements(fields, "parts") {
        let kind = text(part, "kind").unwrap_or_default().to_owned();
        part.insert("label".to_owned(), label(language, &kind).into());
        for one in elements(part, "named") {
            let details = details(language, &kind, one);
            one.insert("details".to_owned(), details.into());
            if let Some(at) = text(one, "at").and_then(|at| time(language, at)) {
                one.insert("at".to_owned(), at.into());
            }
        }
    }
}

/// As the rest of a phrase that begins with a number.
fn label(language: Language, kind: &str) -> String {
    let (english, german) = match kind {
        "offline" => ("offline", "offline"),
        "faulted" => ("faulted", "gestört"),
        "certificate-expiring" => (
            "with a certificate that ends soon",
            "mit einem Zertifikat, das bald endet",
        ),
        other => (other, other),
    };
    match language {
        Language::English => english.to_owned(),
        Language::German => german.to_owned(),
    }
}

/// What there is to say beyond its kind: which connector has which fault, or when the certificate ends.
fn details(language: Language, kind: &str, one: &Map<String, Value>) -> Option<String> {
    let details = text(one, "details")?;
    let connector = one.get("connector").and_then(Value::as_i64);
    Some(match (kind, connector, language) {
        ("certificate-expiring", _, Language::English) => format!("on {details}"),
        ("certificate-expiring", _, Language::German) => format!("am {details}"),
        (_, Some(connector), Language::English) => format!("connector {connector}, {details}"),
        (_, Some(connector), Language::German) => format!("Anschluss {connector}, {details}"),
        (_, None, Language::English | Language::German) => details.to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_notice_says_which_connector_has_which_fault_in_words_of_the_language() {
        for (language, details) in [
            (Language::English, ["connector 1, GroundFailure", "on 2026-04-01"]),
            (Language::German, ["Anschluss 1, GroundFailure", "am 2026-04-01"]),
        ] {
            let mut told = json!({ "parts": [
                { "kind": "faulted", "named": [{ "connector": 1, "details": "GroundFailure", "at": "2026-03-01T12:00:00Z" }] },
                { "kind": "certificate-expiring", "named": [{ "connector": null, "details": "2026-04-01", "at": "2026-03-01T12:00:00Z" }] },
            ]});
            put_into_words(language, told.as_object_mut().unwrap());
            assert_eq!(told["parts"][0]["named"][0]["details"], details[0]);
            assert_eq!(told["parts"][1]["named"][0]["details"], details[1]);
        }
    }
}
