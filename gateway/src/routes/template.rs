//! Path templates, as google.api.http defines them: `/ocpp/charge-points/{identity}`, `/v1/{name=shelves/*/books/*}`,
//! `/files/{path=**}`, `/things/{id}:cancel`.

use std::fmt;
use std::ops::Range;

/// One piece of a path between two slashes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Segment {
    Literal(String),
    /// `*`: any one segment.
    One,
    /// `**`: all that is left, which may be nothing.
    Rest,
}

/// A request field that takes segments of the path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Variable {
    /// A path of field names: `a.b`.
    pub field: String,
    /// Its place among the segments of the template.
    pub place: Range<usize>,
}

/// A parsed path template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
    variables: Vec<Variable>,
    verb: Option<String>,
}

/// Why a path template cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadTemplate {
    #[error("the path does not start with a slash")]
    NoLeadingSlash,
    #[error("the path has an empty segment")]
    EmptySegment,
    #[error("`{0}` is not a literal, `*`, `**`, `{{field}}` or `{{field=pattern}}`")]
    BadSegment(String),
    #[error("the verb `{0}` is not a literal")]
    BadVerb(String),
    #[error("`**` is not the last segment")]
    RestNotLast,
    #[error("the variable `{0}` appears twice")]
    RepeatedVariable(String),
}

impl Template {
    /// # Errors
    /// The text is not a template.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let rest = text.strip_prefix('/').ok_or(BadTemplate::NoLeadingSlash)?;
        let (path, verb) = split_verb(rest)?;
        let mut template = Self {
            text: text.to_owned(),
            segments: Vec::new(),
            variables: Vec::new(),
            verb,
        };
        for piece in pieces(path) {
            template.add(piece)?;
        }
        if let Some((_, before)) = template.segments.split_last()
            && before.contains(&Segment::Rest)
        {
            return Err(BadTemplate::RestNotLast);
        }
        Ok(template)
    }

    fn add(&mut self, piece: &str) -> Result<(), BadTemplate> {
        let Some(inner) = piece.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            self.segments.push(segment(piece)?);
            return Ok(());
        };
        let (field, pattern) = inner.split_once('=').unwrap_or((inner, "*"));
        if !field.split('.').all(is_field_name) {
            return Err(BadTemplate::BadSegment(piece.to_owned()));
        }
        if self.variables.iter().any(|variable| variable.field == field) {
            return Err(BadTemplate::RepeatedVariable(field.to_owned()));
        }
        let start = self.segments.len();
        for part in pattern.split('/') {
            self.segments.push(segment(part)?);
        }
        self.variables.push(Variable {
            field: field.to_owned(),
            place: start..self.segments.len(),
        });
        Ok(())
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The variables, in the order in which they stand in the path.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// What follows the last colon: `cancel`.
    pub fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }

    /// Whether a variable takes exactly one segment, whatever it is.
    pub fn is_single(&self, variable: &Variable) -> bool {
        self.segments[variable.place.clone()] == [Segment::One]
    }

    /// The template with each wildcard written `{name}`, the name in lowerCamelCase: a label for metrics, and the path in
    /// OpenAPI. Literals within a variable stay visible, so that `{name=shelves/*}` is `/shelves/{name}`.
    pub fn label(&self) -> String {
        let mut names = self.placeholders().into_iter();
        let mut label = String::new();
        for segment in &self.segments {
            label.push('/');
            match segment {
                Segment::Literal(literal) => label.push_str(literal),
                Segment::One | Segment::Rest => {
                    label.push_str(&names.next().map(|(name, _)| format!("{{{name}}}")).unwrap_or_default());
                }
            }
        }
        if let Some(verb) = &self.verb {
            label.push(':');
            label.push_str(verb);
        }
        label
    }

    /// The names of the label's placeholders with the position of the variable that each fills, if any. A variable with
    /// several wildcards has a number after its name from the second one on.
    pub fn placeholders(&self) -> Vec<(String, Option<usize>)> {
        let mut placeholders: Vec<(String, Option<usize>)> = Vec::new();
        let wild = |segment: &Segment| !matches!(segment, Segment::Literal(_));
        for (place, _) in self.segments.iter().enumerate().filter(|(_, segment)| wild(segment)) {
            let variable = self
                .variables
                .iter()
                .position(|variable| variable.place.contains(&place));
            let base = variable.map_or_else(
                || "any".to_owned(),
                |position| crate::json::lower_camel(&self.variables[position].field),
            );
            let before = placeholders.iter().filter(|(_, other)| *other == variable).count();
            let name = if before == 0 {
                base
            } else {
                format!("{base}{}", before + 1)
            };
            placeholders.push((name, variable));
        }
        placeholders
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Cuts off the verb: what follows a colon in the last segment.
fn split_verb(text: &str) -> Result<(&str, Option<String>), BadTemplate> {
    let last = text.rfind(['/', '}']).map_or(0, |end| end + 1);
    let Some(colon) = text[last..].rfind(':').map(|colon| last + colon) else {
        return Ok((text, None));
    };
    let verb = &text[colon + 1..];
    if verb.is_empty() || !is_literal(verb) {
        return Err(BadTemplate::BadVerb(verb.to_owned()));
    }
    Ok((&text[..colon], Some(verb.to_owned())))
}

/// Cuts at each slash that does not stand within braces.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut within = false;
    text.split(move |character| {
        match character {
            '{' => within = true,
            '}' => within = false,
            _ => {}
        }
        character == '/' && !within
    })
}

fn segment(text: &str) -> Result<Segment, BadTemplate> {
    match text {
        "" => Err(BadTemplate::EmptySegment),
        "*" => Ok(Segment::One),
        "**" => Ok(Segment::Rest),
        literal if is_literal(literal) => Ok(Segment::Literal(literal.to_owned())),
        other => Err(BadTemplate::BadSegment(other.to_owned())),
    }
}

fn is_literal(text: &str) -> bool {
    !text.contains(['{', '}', '*', '?', '#', '%', ':', '='])
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

    fn fields(template: &Template) -> Vec<&str> {
        template
            .variables()
            .iter()
            .map(|variable| variable.field.as_str())
            .collect()
    }

    #[test]
    fn literals_and_variables_are_told_apart() {
        let template = Template::parse("/ocpp/charge-points/{identity}/x/{a.b_c=*}").expect("a template");
        assert_eq!(fields(&template), ["identity", "a.b_c"]);
        assert_eq!(template.segments()[1], Segment::Literal("charge-points".into()));
        assert_eq!(template.label(), "/ocpp/charge-points/{identity}/x/{a.bC}");
    }

    #[test]
    fn a_variable_may_span_segments_and_a_path_end_in_a_verb() {
        let template = Template::parse("/v1/{name=shelves/*/books/*}/*/{rest=**}:cancel").expect("a template");
        assert_eq!(fields(&template), ["name", "rest"]);
        assert_eq!(template.variables()[0].place, 1..5);
        assert_eq!(template.verb(), Some("cancel"));
        assert_eq!(template.label(), "/v1/shelves/{name}/books/{name2}/{any}/{rest}:cancel");
        assert!(!template.is_single(&template.variables()[0]));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (text, error) in [
            ("auth", BadTemplate::NoLeadingSlash),
            ("/auth/", BadTemplate::EmptySegment),
            ("/a//b", BadTemplate::EmptySegment),
            ("/{a=}", BadTemplate::EmptySegment),
            ("/{a=x//*}", BadTemplate::EmptySegment),
            ("/{a=**}/b", BadTemplate::RestNotLast),
            ("/**/*", BadTemplate::RestNotLast),
            ("/{}", BadTemplate::BadSegment("{}".into())),
            ("/{a={b}}", BadTemplate::BadSegment("{b}".into())),
            ("/{a}b", BadTemplate::BadSegment("{a}b".into())),
            ("/{a", BadTemplate::BadSegment("{a".into())),
            ("/a*", BadTemplate::BadSegment("a*".into())),
            ("/a:b/c", BadTemplate::BadSegment("a:b".into())),
            ("/a:", BadTemplate::BadVerb(String::new())),
            ("/{a}/{a}", BadTemplate::RepeatedVariable("a".into())),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }
}
