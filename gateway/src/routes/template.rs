//! Path templates: `/ocpp/charge-points/{identity}`.
//!
//! Of the syntax of google.api.http this takes literals and variables that span one segment, `{field}`, `{a.b}` and
//! `{field=*}`. Wildcards over several segments and custom verbs are refused by name.

use std::fmt;

/// One piece of a path between two slashes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Segment {
    Literal(String),
    /// The request field that takes the segment, as a path of field names: `a.b`.
    Variable(String),
}

/// A parsed path template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
}

/// Why a path template cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadTemplate {
    #[error("the path does not start with a slash")]
    NoLeadingSlash,
    #[error("the path has an empty segment")]
    EmptySegment,
    #[error("`{0}` is not a literal, `{{field}}` or `{{field=*}}`")]
    BadSegment(String),
    #[error("the variable `{0}` appears twice")]
    RepeatedVariable(String),
}

impl Template {
    /// # Errors
    /// The text is not a template of the supported kind.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let rest = text.strip_prefix('/').ok_or(BadTemplate::NoLeadingSlash)?;
        let segments: Vec<_> = rest.split('/').map(parse_segment).collect::<Result<_, _>>()?;
        let template = Self {
            text: text.to_owned(),
            segments,
        };
        let mut seen = Vec::new();
        for variable in template.variables() {
            if seen.contains(&variable) {
                return Err(BadTemplate::RepeatedVariable(variable.to_owned()));
            }
            seen.push(variable);
        }
        Ok(template)
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The variables, in the order in which they stand in the path.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Variable(field) => Some(field.as_str()),
        })
    }

    /// The template with each variable written `{name}`, the name in lowerCamelCase: a label for metrics, and the path
    /// in OpenAPI.
    pub fn label(&self) -> String {
        self.segments.iter().fold(String::new(), |path, segment| match segment {
            Segment::Literal(literal) => format!("{path}/{literal}"),
            Segment::Variable(field) => format!("{path}/{{{}}}", crate::json::lower_camel(field)),
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn parse_segment(segment: &str) -> Result<Segment, BadTemplate> {
    let bad = || BadTemplate::BadSegment(segment.to_owned());
    if segment.is_empty() {
        return Err(BadTemplate::EmptySegment);
    }
    if let Some(inner) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let field = inner.strip_suffix("=*").unwrap_or(inner);
        let named = field.split('.').all(is_field_name);
        return if named {
            Ok(Segment::Variable(field.to_owned()))
        } else {
            Err(bad())
        };
    }
    if segment.contains(['{', '}', '*', '?', '#', '%']) {
        return Err(bad());
    }
    Ok(Segment::Literal(segment.to_owned()))
}

fn is_field_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_variables_are_told_apart() {
        let template = Template::parse("/ocpp/charge-points/{identity}/x/{a.b_c=*}").expect("a template");
        assert_eq!(template.variables().collect::<Vec<_>>(), ["identity", "a.b_c"]);
        assert_eq!(template.segments()[1], Segment::Literal("charge-points".into()));
        assert_eq!(template.label(), "/ocpp/charge-points/{identity}/x/{a.bC}");
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for (text, error) in [
            ("auth", BadTemplate::NoLeadingSlash),
            ("/auth/", BadTemplate::EmptySegment),
            ("/a//b", BadTemplate::EmptySegment),
            ("/{a=**}", BadTemplate::BadSegment("{a=**}".into())),
            ("/{a}:cancel", BadTemplate::BadSegment("{a}:cancel".into())),
            ("/{}", BadTemplate::BadSegment("{}".into())),
            ("/*", BadTemplate::BadSegment("*".into())),
            ("/{a}/{a}", BadTemplate::RepeatedVariable("a".into())),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }
}
