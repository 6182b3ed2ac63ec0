//! The name that its owner knows a passkey or an API key by.

use service_kit::reason::FieldViolation;

const LONGEST: usize = 100;

/// A name of 1 to 100 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub fn parse(text: &str) -> Result<Self, FieldViolation> {
        let problem = match text.chars().count() {
            0 => "is required",
            1..=LONGEST if text.chars().any(char::is_control) => "must not contain control characters",
            1..=LONGEST => return Ok(Self(text.to_owned())),
            _ => "has more than 100 characters",
        };
        Err(FieldViolation::new("name", problem))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_100_characters_and_no_control_characters() {
        for text in ["Ada's phone", "電話", " ", &"ü".repeat(100)] {
            assert_eq!(
                Name::parse(text).map(|name| name.as_str().to_owned()).as_deref(),
                Ok(text)
            );
        }
        for (text, problem) in [
            ("", "is required"),
            ("a\nb", "must not contain control characters"),
            ("a\0", "must not contain control characters"),
            (&*"ü".repeat(101), "has more than 100 characters"),
        ] {
            assert_eq!(Name::parse(text), Err(FieldViolation::new("name", problem)));
        }
    }
}
