//! What a charge has cost: its lines by what they are called, and figures as they are written in the language.

use serde_json::{Map, Value};

use super::{elements, text};
use crate::template::Language;

pub(super) fn put_into_words(language: Language, fields: &mut Map<String, Value>) {
    let currency = text(fields, "currency").unwrap_or_default().to_owned();
    let digits = text(fields, "total").map_or(0, decimals);
    for line in elements(fields, "lines") {
        let label = part(language, line);
        line.insert("label".to_owned(), label.into());
        if let Some(price) = price(language, line, &currency) {
            line.insert("price".to_owned(), price.into());
        }
        if let Some(amount) = text(line, "amount").map(|amount| decimal(language, &padded(amount, digits))) {
            line.insert("amount".to_owned(), amount.into());
        }
        if let Some(quantity) = text(line, "quantity").map(|quantity| decimal(language, quantity)) {
            line.insert("quantity".to_owned(), quantity.into());
        }
        if let Some(unit) = text(line, "unit").map(|name| unit(language, name).to_owned()) {
            line.insert("unit".to_owned(), unit.into());
        }
    }
    for name in ["energy", "total", "highest"] {
        if let Some(figure) = text(fields, name).map(|figure| decimal(language, figure)) {
            fields.insert(name.to_owned(), figure.into());
        }
    }
    if let Some(remarks) = fields.get_mut("remarks").and_then(Value::as_array_mut) {
        for remark in remarks {
            if let Some(words) = remark.as_str().map(|kind| self::remark(language, kind).to_owned()) {
                *remark = words.into();
            }
        }
    }
}

/// A decimal number as it is written. What is none stays as it is.
fn decimal(language: Language, number: &str) -> String {
    let is_one = number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    match language {
        Language::German if is_one => number.replace('.', ","),
        Language::German | Language::English => number.to_owned(),
    }
}

fn decimals(number: &str) -> usize {
    number.split_once('.').map_or(0, |(_, decimals)| decimals.len())
}

/// With at least as many digits as coins have: 2.5 is 2.50.
fn padded(amount: &str, digits: usize) -> String {
    let missing = digits.saturating_sub(decimals(amount));
    let point = if missing > 0 && !amount.contains('.') { "." } else { "" };
    format!("{amount}{point}{}", "0".repeat(missing))
}

/// For one of what: 0.39 EUR/kWh.
fn price(language: Language, line: &Map<String, Value>, currency: &str) -> Option<String> {
    let (price, per) = (text(line, "price")?, text(line, "unit")?);
    Some(format!(
        "{} {currency}/{}",
        decimal(language, price),
        unit(language, per)
    ))
}

/// A part of what a charge has cost.
fn part(language: Language, line: &Map<String, Value>) -> String {
    let told = |name: &str| text(line, name).unwrap_or_default();
    let (english, german) = match told("part") {
        "energy" => ("Energy", "Energie"),
        "time" => ("Time of charging", "Ladezeit"),
        "idle" => ("Time after charging", "Standzeit nach dem Laden"),
        "session" => ("Price of the session", "Startgebühr"),
        "tax" => return format!("{} {} %", told("tax"), decimal(language, told("percent"))),
        "rounding" => ("Rounding", "Rundung"),
        other => (other, other),
    };
    match language {
        Language::English => english.to_owned(),
        Language::German => german.to_owned(),
    }
}

/// What a price is for one of. Those of measures are the same everywhere.
fn unit(language: Language, name: &str) -> &str {
    match (language, name) {
        (Language::German, "session") => "Ladevorgang",
        (Language::English | Language::German, other) => other,
    }
}

/// Why something that has a price is not in the total.
fn remark(language: Language, kind: &str) -> &str {
    let (english, german) = match kind {
        "energy_unknown" => (
            "The charge point did not tell how much energy you took, so it is not in the total.",
            "Die Ladestation hat nicht gemeldet, wie viel Energie Sie geladen haben; sie ist nicht in der Summe.",
        ),
        "energy_implausible" => (
            "The charge point told more energy than can be, so it is not in the total.",
            "Die Ladestation hat mehr Energie gemeldet, als sein kann; sie ist nicht in der Summe.",
        ),
        "ends_before_it_starts" => (
            "By the charge point's clock you stopped before you began, so time is not in the total.",
            "Nach der Uhr der Ladestation war der Vorgang zu Ende, bevor er begann; Zeit ist nicht in der Summe.",
        ),
        "duration_implausible" => (
            "The charge point told a longer time than can be, so it is not in the total.",
            "Die Ladestation hat mehr Zeit gemeldet, als sein kann; sie ist nicht in der Summe.",
        ),
        other => (other, other),
    };
    match language {
        Language::English => english,
        Language::German => german,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(language: Language) -> Value {
        let mut receipt = json!({
            "currency": "EUR", "total": "1234.50", "energy": "12.345", "highest": "11.0",
            "lines": [
                { "part": "energy", "quantity": "12.345", "unit": "kWh", "price": "0.5", "amount": "6.1725" },
                { "part": "session", "quantity": "1", "unit": "session", "price": "2", "amount": "2" },
                { "part": "tax", "tax": "VAT", "percent": "7.7", "amount": "0.4" },
            ],
            "remarks": ["energy_unknown", "of_a_later_version"],
        });
        put_into_words(language, receipt.as_object_mut().unwrap());
        receipt
    }

    #[test]
    fn figures_are_written_as_the_language_has_it() {
        let (english, german) = (told(Language::English), told(Language::German));
        for (at, in_english, in_german) in [
            ("/energy", "12.345", "12,345"),
            ("/total", "1234.50", "1234,50"),
            ("/highest", "11.0", "11,0"),
            ("/lines/0/quantity", "12.345", "12,345"),
            ("/lines/0/price", "0.5 EUR/kWh", "0,5 EUR/kWh"),
            ("/lines/0/amount", "6.1725", "6,1725"),
            ("/lines/1/price", "2 EUR/session", "2 EUR/Ladevorgang"),
            ("/lines/1/unit", "session", "Ladevorgang"),
            ("/lines/1/amount", "2.00", "2,00"),
            ("/lines/2/label", "VAT 7.7 %", "VAT 7,7 %"),
            ("/lines/2/amount", "0.40", "0,40"),
            ("/remarks/1", "of_a_later_version", "of_a_later_version"),
        ] {
            assert_eq!(english.pointer(at).unwrap(), in_english, "{at}");
            assert_eq!(german.pointer(at).unwrap(), in_german, "{at}");
        }
        assert!(german["remarks"][0].as_str().unwrap().contains("nicht in der Summe"));
    }

    #[test]
    fn what_is_no_number_stays_as_it_is() {
        assert_eq!(decimal(Language::German, "v1.2 of it"), "v1.2 of it");
        assert_eq!(padded("5", 0), "5");
        assert_eq!(padded("5.125", 2), "5.125");
    }
}
