//! What mail says: one subject, one text and one HTML file for each kind, compiled into the binary.
//!
//! Values come from strangers. They lose everything that is not visible text before they get into a template
//! ([`printable`]), and HTML escapes them by itself. Templates decide nothing beyond leaving out what is not there; what they need
//! is passed in.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, context};
use serde_json::Value;

/// Every kind of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Template {
    Welcome,
    VerifyEmail,
    ResetPassword,
    PasswordChanged,
    EmailChanged,
    KnownEmail,
    SecondFactorChanged,
    NewSignIn,
    AccountDeleted,
}

impl Template {
    pub const ALL: &[Self] = &[
        Self::Welcome,
        Self::VerifyEmail,
        Self::ResetPassword,
        Self::PasswordChanged,
        Self::EmailChanged,
        Self::KnownEmail,
        Self::SecondFactorChanged,
        Self::NewSignIn,
        Self::AccountDeleted,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::VerifyEmail => "verify-email",
            Self::ResetPassword => "reset-password",
            Self::PasswordChanged => "password-changed",
            Self::EmailChanged => "email-changed",
            Self::KnownEmail => "known-email",
            Self::SecondFactorChanged => "second-factor-changed",
            Self::NewSignIn => "new-sign-in",
            Self::AccountDeleted => "account-deleted",
        }
    }

    /// Reads a name as it stands in the database.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|template| template.name() == name)
    }
}

/// The files that stand for templates, each under its name.
macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../templates/", $name)))),*]
    };
}

/// Those of one kind end in `.subject`, `.txt` and `.html`; this last extension is what switches escaping on.
const FILES: [(&str, &str); 29] = files! {
    "layout.html" "parts.html"
    "welcome.subject" "welcome.txt" "welcome.html"
    "verify-email.subject" "verify-email.txt" "verify-email.html"
    "reset-password.subject" "reset-password.txt" "reset-password.html"
    "password-changed.subject" "password-changed.txt" "password-changed.html"
    "email-changed.subject" "email-changed.txt" "email-changed.html"
    "known-email.subject" "known-email.txt" "known-email.html"
    "second-factor-changed.subject" "second-factor-changed.txt" "second-factor-changed.html"
    "new-sign-in.subject" "new-sign-in.txt" "new-sign-in.html"
    "account-deleted.subject" "account-deleted.txt" "account-deleted.html"
};

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
        // A line that holds nothing but a tag is no line of the mail.
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        for (name, source) in FILES {
            environment.add_template(name, source)?;
        }
        Ok(Self(environment))
    }

    /// `link` leads to the page that takes the code of such a mail. It is ours, and is not cut as values are.
    pub fn render(
        &self,
        template: Template,
        variables: &Value,
        link: Option<&str>,
    ) -> Result<Rendered, minijinja::Error> {
        let variables = printable(variables);
        let part = |extension: &str, subject: Option<&str>| {
            self.0
                .get_template(&format!("{}.{extension}", template.name()))?
                .render(context! { link, subject, ..variables.clone() })
        };
        let subject = visible_line(&part("subject", None)?);
        Ok(Rendered {
            text: part("txt", None)?,
            html: part("html", Some(&subject))?,
            subject,
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
        render(Template::Welcome, &json!({ "username": username }), None)
    }

    fn render(template: Template, variables: &Value, link: Option<&str>) -> Rendered {
        let templates = Templates::embedded().unwrap();
        templates.render(template, variables, link).unwrap()
    }

    /// What the inbox passes, with every string there is from outside put to `text`.
    fn variables(template: Template, text: &str) -> Value {
        match template {
            Template::Welcome | Template::AccountDeleted => json!({ "username": text }),
            Template::VerifyEmail | Template::ResetPassword => json!({
                "username": text,
                "code": text,
                "until": "12:10 UTC on 1 March 2026",
            }),
            Template::PasswordChanged => json!({ "username": text, "address": text, "device": text }),
            Template::EmailChanged => json!({ "username": text, "new_address": text }),
            Template::KnownEmail => json!({}),
            Template::SecondFactorChanged => json!({ "username": text, "change": "A passkey was added." }),
            Template::NewSignIn => json!({
                "username": text,
                "address": text,
                "device": text,
                "at": "12:00 UTC on 1 March 2026",
            }),
        }
    }

    fn assert_reads_as_approved(name: &str, rendered: &Rendered) {
        insta::assert_snapshot!(format!("{name}.subject"), rendered.subject);
        insta::assert_snapshot!(format!("{name}.txt"), rendered.text);
        insta::assert_snapshot!(format!("{name}.html"), rendered.html);
    }

    #[test]
    fn every_mail_reads_as_it_was_approved() {
        let code = "5Fz0yQmVn3oXwqK1c8Zt4rLhUu7aBdEeGgIiJjMmNnO";
        for template in Template::ALL {
            let mut variables = variables(*template, "mara");
            let of_mara = [
                ("code", code),
                ("address", "203.0.113.7"),
                ("device", "Firefox on Linux"),
                ("new_address", "m…@new.example"),
            ];
            for (name, value) in of_mara {
                if let Some(variable) = variables.get_mut(name) {
                    *variable = value.into();
                }
            }
            assert_reads_as_approved(template.name(), &render(*template, &variables, None));
            if variables.get("device").is_some() {
                variables["device"] = Value::Null;
                let name = format!("{}-by-nobody-knows-what", template.name());
                assert_reads_as_approved(&name, &render(*template, &variables, None));
            }
            if variables.get("code").is_some() {
                let link = format!("https://voltgate.example/pages/{}#code={code}", template.name());
                let name = format!("{}-with-link", template.name());
                assert_reads_as_approved(&name, &render(*template, &variables, Some(&link)));
            }
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
        assert!(rendered.text.contains(&format!("Hello {}…,", "ä".repeat(LONGEST))));
    }

    #[test]
    fn a_missing_value_is_an_error() {
        let templates = Templates::embedded().unwrap();
        for template in Template::ALL
            .iter()
            .filter(|template| **template != Template::KnownEmail)
        {
            assert!(templates.render(*template, &json!({}), None).is_err(), "{template:?}");
        }
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
        fn no_value_adds_a_line_or_an_element(text in any::<String>(), template in proptest::sample::select(Template::ALL)) {
            // A device that says nothing visible is not there.
            prop_assume!(!visible_line(&text).is_empty());
            let rendered = render(template, &variables(template, &text), None);
            let plain = render(template, &variables(template, "mara"), None);
            prop_assert_eq!(rendered.text.lines().count(), plain.text.lines().count());
            prop_assert_eq!(rendered.html.matches('<').count(), plain.html.matches('<').count());
            prop_assert_eq!(rendered.subject, plain.subject);
        }
    }
}
