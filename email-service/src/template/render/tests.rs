#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::super::{Language, Template, sample};
use super::*;

fn welcome(username: &str) -> Rendered {
    render(
        Template::Welcome,
        Language::English,
        &json!({ "username": username }),
        None,
    )
}

fn render(template: Template, language: Language, variables: &Value, link: Option<&str>) -> Rendered {
    let templates = Templates::embedded().unwrap();
    templates.render(template, language, variables, link).unwrap()
}

/// What is passed to a template, with every string there is put to `text`.
fn all_of_it(value: Value, text: &str) -> Value {
    match value {
        Value::String(_) => text.into(),
        Value::Array(values) => values.into_iter().map(|value| all_of_it(value, text)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, all_of_it(value, text)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}

fn assert_reads_as_approved(name: &str, rendered: &Rendered) {
    insta::assert_snapshot!(format!("{name}.subject"), rendered.subject);
    insta::assert_snapshot!(format!("{name}.txt"), rendered.text);
    insta::assert_snapshot!(format!("{name}.html"), rendered.html);
}

/// Makes another mail of the sample of a template.
type Variation = (&'static str, fn(&mut Value));

/// What else a receipt may be.
const RECEIPTS: [Variation; 3] = [
    ("corrected", |variables| variables["corrected"] = true.into()),
    ("without-cost", |variables| {
        for name in ["record", "tariff", "currency", "total", "energy", "highest", "power"] {
            variables[name] = Value::Null;
        }
        variables["lines"] = json!([]);
    }),
    ("with-a-remark", |variables| {
        variables["remarks"] = json!(["energy_unknown", "ends_before_it_starts"])
    }),
];

#[test]
fn every_mail_reads_as_it_was_approved_in_every_language() {
    for template in Template::ALL {
        for language in Templates::languages(*template) {
            let mut variables = sample(*template);
            let name = match language {
                Language::English => template.name().to_owned(),
                other => format!("{}.{}", other.tag(), template.name()),
            };
            assert_reads_as_approved(&name, &render(*template, language, &variables, None));
            if let Some(code) = variables.get("code").and_then(Value::as_str) {
                let link = format!("https://voltgate.example/pages/{}#code={code}", template.name());
                let rendered = render(*template, language, &variables, Some(&link));
                assert_reads_as_approved(&format!("{name}-with-link"), &rendered);
            }
            if *template == Template::Receipt {
                for (what, change) in RECEIPTS {
                    let mut variables = variables.clone();
                    change(&mut variables);
                    let rendered = render(*template, language, &variables, None);
                    assert_reads_as_approved(&format!("{name}-{what}"), &rendered);
                }
            }
            if variables.get("device").is_some() {
                variables["device"] = Value::Null;
                let rendered = render(*template, language, &variables, None);
                assert_reads_as_approved(&format!("{name}-by-nobody-knows-what"), &rendered);
            }
        }
    }
}

#[test]
fn where_nobody_wrote_in_a_language_english_takes_its_place() {
    for (tag, expected) in [("fr-CA", Language::English), ("de-CH", Language::German)] {
        let language = Language::of(Some(tag));
        let rendered = render(Template::Welcome, language, &sample(Template::Welcome), None);
        assert_eq!(rendered.language, expected);
        let html = format!("<html lang=\"{}\">", expected.tag());
        assert!(rendered.html.contains(&html), "{}", rendered.html);
    }
}

#[test]
fn html_is_escaped_and_text_is_not() {
    let rendered = welcome("<img src=x onerror='alert(1)'>&");
    assert!(
        rendered
            .html
            .contains("&lt;img src=x onerror=&#x27;alert(1)&#x27;&gt;&amp;")
    );
    assert!(!rendered.html.contains("<img"));
    assert!(rendered.text.contains("<img src=x onerror='alert(1)'>&"));
}

#[test]
fn a_name_cannot_break_out_of_its_line_or_turn_it_round() {
    let rendered = welcome("mara\r\nBcc: all@example.org\r\n\r\n\u{202e}evil\u{2066}\u{200b}");
    assert!(rendered.text.contains("Hello mara  Bcc: all@example.org    evil,"));
    let plain = welcome("mara");
    assert_eq!(rendered.text.lines().count(), plain.text.lines().count());
    assert_eq!(rendered.subject, plain.subject);
}

#[test]
fn a_long_name_is_cut() {
    let rendered = welcome(&"ä".repeat(500));
    assert!(rendered.text.contains(&format!("Hello {}…,", "ä".repeat(64))));
}

#[test]
fn a_missing_value_is_an_error() {
    let templates = Templates::embedded().unwrap();
    for template in Template::ALL
        .iter()
        .filter(|template| **template != Template::KnownEmail)
    {
        let rendered = templates.render(*template, Language::English, &json!({}), None);
        assert!(rendered.is_err(), "{template:?}");
    }
}

#[test]
fn every_template_is_written_in_every_language_and_found_by_its_name() {
    for template in Template::ALL {
        assert_eq!(Template::parse(template.name()), Some(*template));
        assert!(
            Templates::languages(*template).eq(Language::ALL.iter().copied()),
            "{template:?}"
        );
    }
    assert_eq!(Template::parse("rocket"), None);
}

proptest! {
    #[test]
    fn no_value_adds_a_line_or_an_element(
        text in any::<String>(),
        template in proptest::sample::select(Template::ALL),
        language in proptest::sample::select(Language::ALL),
    ) {
        // A device that says nothing visible is not there.
        prop_assume!(!visible_line(&text).is_empty());
        let rendered = render(template, language, &all_of_it(sample(template), &text), None);
        let plain = render(template, language, &all_of_it(sample(template), "mara"), None);
        prop_assert_eq!(rendered.text.lines().count(), plain.text.lines().count());
        prop_assert_eq!(rendered.html.matches('<').count(), plain.html.matches('<').count());
        prop_assert!(!rendered.subject.contains(['\r', '\n']));
    }
}
