//! Fills templates in.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, context};
use serde_json::Value;

use super::files::FILES;
use super::wording::in_words;
use super::{Language, Template};
use crate::chart;

/// The three parts of a mail, filled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// The one that it came out in.
    pub language: Language,
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

    /// The languages that a template is written in, English first.
    pub fn languages(template: Template) -> impl Iterator<Item = Language> {
        Language::ALL
            .iter()
            .copied()
            .filter(move |language| is_written_in(template, *language))
    }

    /// `link` leads to the page that takes the code of such a mail. It is ours, and is not cut as values are.
    pub fn render(
        &self,
        template: Template,
        language: Language,
        variables: &Value,
        link: Option<&str>,
    ) -> Result<Rendered, minijinja::Error> {
        let language = match is_written_in(template, language) {
            true => language,
            false => Language::English,
        };
        let lang = language.tag();
        // Made of numbers alone, and so safe as it is.
        let chart = variables
            .get("power")
            .and_then(chart::svg)
            .map(minijinja::Value::from_safe_string);
        let variables = printable(&in_words(language, variables), template.longest_value());
        let part = |extension: &str, subject: Option<&str>| {
            // What the letter is about is told by whoever writes it; elsewhere it is what the template says.
            let title = subject.map(minijinja::Value::from);
            self.0
                .get_template(&file(template, language, extension))?
                .render(context! { link, lang, title, chart => &chart, ..variables.clone() })
        };
        let subject = visible_line(&part("subject", None)?);
        Ok(Rendered {
            language,
            text: part("txt", None)?,
            html: part("html", Some(&subject))?,
            subject,
        })
    }
}

fn is_written_in(template: Template, language: Language) -> bool {
    let subject = file(template, language, "subject");
    FILES.iter().any(|(name, _)| *name == subject)
}

fn file(template: Template, language: Language, extension: &str) -> String {
    let name = template.name();
    match language {
        Language::English => format!("{name}.{extension}"),
        other => format!("{}/{name}.{extension}", other.tag()),
    }
}

/// The same values with every string reduced to one line of visible text, of `longest` characters.
///
/// Numbers go through by hand: rust-ocpp switches on `arbitrary_precision` for whatever is built with it, and then
/// serde_json hands a number to another serialiser as an object of its own.
fn printable(value: &Value, longest: usize) -> minijinja::Value {
    match value {
        Value::String(text) => {
            let line = visible_line(text);
            let mut short: String = line.chars().take(longest).collect();
            if short.len() < line.len() {
                short.push('…');
            }
            short.into()
        }
        Value::Array(values) => values.iter().map(|value| printable(value, longest)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), printable(value, longest)))
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
mod tests;
