//! What mail says: one subject, one text and one HTML file for each kind, compiled into the binary.
//!
//! Values come from strangers. They lose everything that is not visible text before they get into a template
//! ([`printable`]), and HTML escapes them by itself. Templates decide nothing; what they need is passed in.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

/// Every kind of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Template {
    Welcome,
}

impl Template {
    pub const ALL: &[Self] = &[Self::Welcome];

    pub fn name(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
        }
    }

    /// Reads a name as it stands in the database.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|template| template.name() == name)
    }
}

/// The three parts of a mail, filled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// One line.
    pub subject: String,
    pub text: String,
    pub html: String,
}

pub(crate) struct Templates(Environment<'static>);

impl Templates {
    /// # Errors
    /// A template that came with the binary is malformed.
    pub fn embedded() -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        // A value that a template needs and nobody passed is a mistake, not an empty string.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in [
            ("welcome.subject", include_str!("../templates/welcome.subject")),
            ("welcome.txt", include_str!("../templates/welcome.txt")),
            // The extension is what switches escaping on.
            ("welcome.html", include_str!("../templates/welcome.html")),
        ] {
            environment.add_template(name, source)?;
        }
        Ok(Self(environment))
    }

    pub fn render(&self, template: Template, variables: &Value) -> Result<Rendered, minijinja::Error> {
        let variables = printable(variables);
        let part = |extension: &str| {
            self.0
                .get_template(&format!("{}.{extension}", template.name()))?
                .render(&variables)
        };
        Ok(Rendered {
            subject: visible_line(&part("subject")?),
            text: part("txt")?,
            html: part("html")?,
        })
    }
}

/// Longest value shown. Nobody's name is longer, and nobody gets to send a letter of their own to a stranger.
const LONGEST: usize = 64;

/// The same values with every string reduced to one line of visible text.
///
/// Numbers go through by hand: rust-ocpp switches on `arbitrary_precision` for whatever is built with it, and then
/// serde_json hands a number to another serialiser as an object of its own.
fn printable(value: &Value) -> minijinja::Value {
    match value {
        Value::String(text) => {
            let line = visible_line(text);
            let mut short: String = line.chars().take(LONGEST).collect();
            if short.len() < line.len() {
                short.push('…');
            }
            short.into()
        }
        Value::Array(values) => values.iter().map(printable).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), printable(value)))
            .collect::<BTreeMap<String, minijinja::Value>>()
            .into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.to_string().into(),
        },
        Value::Bool(value) => (*value).into(),
        Value::Null => ().into(),
    }
}

/// `text` without line breaks, control characters, and the invisible ones that reorder or hide what stands beside them.
fn visible_line(text: &str) -> String {
    let visible: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .collect();
    visible.trim().to_owned()
}

/// Direction marks, overrides and isolates, zero-width characters, soft hyphens, tags, and the interlinear marks.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn welcome(username: &str) -> Rendered {
        let templates = Templates::embedded().unwrap();
        templates
            .render(Template::Welcome, &json!({ "username": username }))
            .unwrap()
    }

    #[test]
    fn the_welcome_mail_reads_as_it_was_approved() {
        let rendered = welcome("mara");
        insta::assert_snapshot!("welcome.subject", rendered.subject);
        insta::assert_snapshot!("welcome.txt", rendered.text);
        insta::assert_snapshot!("welcome.html", rendered.html);
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
        assert!(rendered.text.contains(&format!("Hello {}…,", "ä".repeat(LONGEST))));
    }

    #[test]
    fn a_missing_value_is_an_error() {
        let templates = Templates::embedded().unwrap();
        assert!(templates.render(Template::Welcome, &json!({})).is_err());
    }

    #[test]
    fn every_template_renders_and_is_found_by_its_name() {
        for template in Template::ALL {
            assert_eq!(Template::parse(template.name()), Some(*template));
        }
        assert_eq!(Template::parse("receipt"), None);
    }

    proptest! {
        #[test]
        fn no_value_adds_a_line_or_an_element(username in any::<String>()) {
            let (rendered, plain) = (welcome(&username), welcome("mara"));
            prop_assert_eq!(rendered.text.lines().count(), plain.text.lines().count());
            prop_assert_eq!(rendered.html.matches('<').count(), plain.html.matches('<').count());
        }
    }
}
