//! Reads the terms of a tariff as the API has them, and writes them so.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use iso_currency::Currency;
use rust_decimal::Decimal;
use service_kit::page;
use service_kit::reason::FieldViolation;
use voltgate_proto::ocpp::v1::{TariffElement, TariffTerms, TariffWindow, Tax as ToldTax};

use super::terms::{Element, Part, Tax, Terms};
use super::window::{Day, TimeOfDay, Window};
use crate::label::is_label;

const LONGEST_NAME: usize = 100;
const LONGEST_TAX_NAME: usize = 50;
const MOST_TAXES: usize = 5;
const MOST_ELEMENTS: usize = 50;
const MOST_FREE_MINUTES: i32 = 10_080;
const PRICE_DIGITS: (usize, usize) = (6, 4);
const PERCENT_DIGITS: (usize, usize) = (2, 3);

type Violations = Vec<FieldViolation>;

/// Notes what is wrong with it, and returns it all the same.
pub fn name(name: String, violations: &mut Violations) -> String {
    if !is_label(&name, LONGEST_NAME) {
        let problem = format!("must have 1 to {LONGEST_NAME} printable characters, and no space at either end");
        violations.push(FieldViolation::new("name", problem));
    }
    name
}

/// From when and until when it holds.
pub fn validity(
    from: Option<prost_types::Timestamp>,
    until: Option<prost_types::Timestamp>,
    violations: &mut Violations,
) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let from = page::time("validFrom", from, violations);
    let until = page::time("validUntil", until, violations);
    if matches!((from, until), (Some(from), Some(until)) if until <= from) {
        violations.push(FieldViolation::new("validUntil", "must be later than validFrom"));
    }
    (from, until)
}

/// Notes everything that is wrong, and where. None where anything is.
pub fn terms(told: Option<TariffTerms>, violations: &mut Violations) -> Option<Terms> {
    let Some(told) = told else {
        violations.push(FieldViolation::new("terms", "is required"));
        return None;
    };
    let before = violations.len();
    let mut note =
        |field: String, problem: &str| violations.push(FieldViolation::new(format!("terms.{field}"), problem));
    let currency = Currency::from_code(&told.currency);
    if currency.is_none() {
        note("currency".to_owned(), "is no currency of ISO 4217, such as EUR");
    }
    if told.taxes.len() > MOST_TAXES {
        note("taxes".to_owned(), "must not be more than 5");
    }
    let taxes = told
        .taxes
        .into_iter()
        .enumerate()
        .filter_map(|(index, told)| tax(told, |field, problem| note(format!("taxes[{index}].{field}"), problem)));
    let taxes: Vec<_> = taxes.collect();
    if !(0..=MOST_FREE_MINUTES).contains(&told.idle_free_minutes) {
        note("idleFreeMinutes".to_owned(), "must be between 0 and 10080");
    }
    if !(1..=MOST_ELEMENTS).contains(&told.elements.len()) {
        note("elements".to_owned(), "must be 1 to 50");
    }
    let elements = told.elements.into_iter().enumerate();
    let elements: Vec<_> = elements
        .map(|(index, told)| {
            element(told, |field, problem| {
                let dot = if field.is_empty() { "" } else { "." };
                note(format!("elements[{index}]{dot}{field}"), problem);
            })
        })
        .collect();
    if violations.len() > before {
        return None;
    }
    Some(Terms {
        currency: currency?,
        taxes,
        idle_free_minutes: told.idle_free_minutes.unsigned_abs(),
        elements,
    })
}

fn tax(told: ToldTax, mut note: impl FnMut(&str, &str)) -> Option<Tax> {
    if !is_label(&told.name, LONGEST_TAX_NAME) {
        note(
            "name",
            "must have 1 to 50 printable characters, and no space at either end",
        );
    }
    let percent = decimal(&told.percent, PERCENT_DIGITS);
    if percent.is_none() {
        note(
            "percent",
            "is no decimal number below 100, with at most 3 digits after the point",
        );
    }
    Some(Tax {
        name: told.name,
        percent: percent?,
    })
}

fn element(told: TariffElement, mut note: impl FnMut(&str, &str)) -> Element {
    let mut price = |field: &str, price: Option<&String>| {
        let read = decimal(price?, PRICE_DIGITS);
        if read.is_none() {
            note(
                field,
                "is no decimal number below 1000000, with at most 4 digits after the point",
            );
        }
        // What is wrong is there all the same.
        read.or(Some(Decimal::ZERO))
    };
    let element = Element {
        window: None,
        energy_price: price("energyPrice", told.energy_price.as_ref()),
        time_price: price("timePrice", told.time_price.as_ref()),
        idle_price: price("idlePrice", told.idle_price.as_ref()),
        session_price: price("sessionPrice", told.session_price.as_ref()),
    };
    let parts = [Part::Energy, Part::Time, Part::Idle, Part::Session];
    if parts.iter().all(|part| element.price(*part).is_none()) {
        note("", "must have a price");
    }
    Element {
        window: told.window.map(|told| window(&told, &mut note)),
        ..element
    }
}

fn window(told: &TariffWindow, mut note: impl FnMut(&str, &str)) -> Window {
    let mut time = |field: &str, text: &str| {
        let time = match text {
            "" => Some(TimeOfDay::MIDNIGHT),
            text => TimeOfDay::parse(text),
        };
        if time.is_none() {
            note(field, "is no time of day, such as 22:00");
        }
        time.unwrap_or(TimeOfDay::MIDNIGHT)
    };
    let (from, until) = (time("window.from", &told.from), time("window.until", &told.until));
    let mut days = BTreeSet::new();
    for (index, name) in told.days.iter().enumerate() {
        match Day::parse(name) {
            Some(day) => _ = days.insert(day),
            None => note(
                &format!("window.days[{index}]"),
                "is no day of the week, such as monday",
            ),
        }
    }
    Window { from, until, days }
}

/// Digits before the point and after it.
fn decimal(text: &str, (whole, fraction): (usize, usize)) -> Option<Decimal> {
    let is_digits =
        |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = match text.split_once('.') {
        Some((before, after)) => is_digits(before, whole) && is_digits(after, fraction),
        None => is_digits(text, whole),
    };
    is_number.then(|| text.parse().ok()).flatten()
}

impl From<&Terms> for TariffTerms {
    fn from(terms: &Terms) -> Self {
        Self {
            currency: terms.currency.code().to_owned(),
            taxes: terms
                .taxes
                .iter()
                .map(|tax| ToldTax {
                    name: tax.name.clone(),
                    percent: tax.percent.to_string(),
                })
                .collect(),
            idle_free_minutes: i32::try_from(terms.idle_free_minutes).unwrap_or(i32::MAX),
            elements: terms.elements.iter().map(TariffElement::from).collect(),
        }
    }
}

impl From<&Element> for TariffElement {
    fn from(element: &Element) -> Self {
        let price = |part| element.price(part).map(|price| price.to_string());
        Self {
            window: element.window.as_ref().map(|window| TariffWindow {
                from: window.from.to_string(),
                until: window.until.to_string(),
                days: window.days.iter().map(|day| day.as_str().to_owned()).collect(),
            }),
            energy_price: price(Part::Energy),
            time_price: price(Part::Time),
            idle_price: price(Part::Idle),
            session_price: price(Part::Session),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn told() -> TariffTerms {
        TariffTerms {
            currency: "EUR".to_owned(),
            taxes: vec![ToldTax {
                name: "VAT".to_owned(),
                percent: "7.7".to_owned(),
            }],
            idle_free_minutes: 10,
            elements: vec![TariffElement {
                window: Some(TariffWindow {
                    from: "22:00".to_owned(),
                    until: "06:00".to_owned(),
                    days: vec!["monday".to_owned(), "sunday".to_owned()],
                }),
                energy_price: Some("0.3990".to_owned()),
                session_price: Some("1".to_owned()),
                ..Default::default()
            }],
        }
    }

    #[test]
    fn terms_are_written_as_they_were_read_and_kept_as_json_between() {
        let mut violations = Vec::new();
        let terms = terms(Some(told()), &mut violations).unwrap();
        assert!(violations.is_empty());
        let kept = serde_json::to_string(&terms).unwrap();
        let terms: Terms = serde_json::from_str(&kept).unwrap();
        assert_eq!(TariffTerms::from(&terms), told());
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let wrong = TariffTerms {
            currency: "EURO".to_owned(),
            taxes: vec![
                ToldTax::default(),
                ToldTax {
                    name: "VAT".to_owned(),
                    percent: "100".to_owned(),
                },
            ],
            idle_free_minutes: -1,
            elements: vec![
                TariffElement {
                    energy_price: Some("-1".to_owned()),
                    time_price: Some("1.23456".to_owned()),
                    window: Some(TariffWindow {
                        from: "25:00".to_owned(),
                        until: "noon".to_owned(),
                        days: vec!["monday".to_owned(), "Tuesday".to_owned()],
                    }),
                    ..Default::default()
                },
                TariffElement::default(),
            ],
        };
        let mut violations = Vec::new();
        assert!(terms(Some(wrong), &mut violations).is_none());
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(
            fields,
            [
                "terms.currency",
                "terms.taxes[0].name",
                "terms.taxes[0].percent",
                "terms.taxes[1].percent",
                "terms.idleFreeMinutes",
                "terms.elements[0].energyPrice",
                "terms.elements[0].timePrice",
                "terms.elements[0].window.from",
                "terms.elements[0].window.until",
                "terms.elements[0].window.days[1]",
                "terms.elements[1]",
            ]
        );
    }

    #[test]
    fn a_price_is_a_plain_decimal_number() {
        for wrong in ["", ".", "1.", ".5", "1e3", "+1", " 1", "1,5", "1000000", "0.00001", "١"] {
            assert_eq!(decimal(wrong, PRICE_DIGITS), None, "{wrong}");
        }
        assert_eq!(decimal("999999.9999", PRICE_DIGITS).unwrap().to_string(), "999999.9999");
    }
}
