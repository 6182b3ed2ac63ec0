//! Where in a document something is: `$.meterValues[3].unit`.

use std::fmt;

/// Longer names are cut in a path; a client may have sent a megabyte of one.
const LONGEST_NAME: usize = 64;

#[derive(Clone, Debug)]
enum Step {
    Name(String),
    Index(usize),
}

/// A JSON path (RFC 9535) to one place.
#[derive(Clone, Debug, Default)]
pub struct JsonPath(Vec<Step>);

impl JsonPath {
    pub fn enter(&mut self, name: &str) {
        self.0.push(Step::Name(name.to_owned()));
    }

    pub fn enter_index(&mut self, index: usize) {
        self.0.push(Step::Index(index));
    }

    pub fn leave(&mut self) {
        self.0.pop();
    }

    pub fn depth(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("$")?;
        self.0.iter().try_for_each(|step| match step {
            Step::Index(index) => write!(formatter, "[{index}]"),
            Step::Name(name) if is_plain(name) => write!(formatter, ".{name}"),
            Step::Name(name) => write!(formatter, "[{}]", quoted(name)),
        })
    }
}

fn is_plain(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn quoted(name: &str) -> String {
    let cut: String = name.chars().take(LONGEST_NAME).collect();
    let ellipsis = if cut.len() < name.len() { "…" } else { "" };
    let escaped: String = cut
        .chars()
        .flat_map(|character| match character {
            '\'' | '\\' => vec!['\\', character],
            control if control.is_control() => control.escape_unicode().collect(),
            other => vec![other],
        })
        .collect();
    format!("'{escaped}{ellipsis}'")
}

/// The JSON name of a proto field, or of a path of them: `display_name` becomes `displayName`.
pub fn lower_camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut raise = false;
    for character in name.chars() {
        match character {
            '_' => raise = true,
            other if raise => {
                out.push(other.to_ascii_uppercase());
                raise = false;
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_joined_by_dots_and_others_quoted() {
        let mut path = JsonPath::default();
        path.enter("meterValues");
        path.enter_index(3);
        path.enter("it's");
        assert_eq!(path.to_string(), "$.meterValues[3]['it\\'s']");
        path.leave();
        path.enter(&"x".repeat(100));
        assert_eq!(path.to_string(), format!("$.meterValues[3]['{}…']", "x".repeat(64)));
    }

    #[test]
    fn proto_names_become_json_names() {
        assert_eq!(lower_camel("meter_values[0].sampled_at"), "meterValues[0].sampledAt");
    }
}
