//! Entity tags and the conditions that requests make of them (RFC 9110, sections 8.8.3 and 13.1).

use std::fmt;
use std::str::FromStr;

/// Names one version of a resource, as it stands in `ETag`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntityTag {
    /// The same in meaning only, not byte for byte.
    pub weak: bool,
    /// What stands between the quotes.
    pub opaque: String,
}

/// What `If-Match` and `If-None-Match` say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tags {
    /// `*`: any that there is.
    Any,
    OneOf(Vec<EntityTag>),
}

/// The text is no entity tag, or no list of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be `*` or a list of entity tags such as \"7\"")]
pub struct Malformed;

impl EntityTag {
    pub fn strong(opaque: impl Into<String>) -> Self {
        Self {
            weak: false,
            opaque: opaque.into(),
        }
    }

    /// For reading: the versions mean the same (section 8.8.3.2).
    pub fn weakly_equals(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    /// For writing: the versions are the very same. A weak tag equals none.
    pub fn strongly_equals(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Takes one off the front of a text.
    fn take(text: &str) -> Option<(Self, &str)> {
        let (weak, quoted) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        let plain = opaque.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x7E | 0x80..));
        plain.then(|| {
            let tag = Self {
                weak,
                opaque: opaque.to_owned(),
            };
            (tag, rest)
        })
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\"{}\"", if self.weak { "W/" } else { "" }, self.opaque)
    }
}

impl FromStr for EntityTag {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match Self::take(text.trim()) {
            Some((tag, "")) => Ok(tag),
            _ => Err(Malformed),
        }
    }
}

impl Tags {
    /// Whether one of them is exactly this one, as `If-Match` asks.
    pub fn contain(&self, tag: &EntityTag) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|listed| listed.strongly_equals(tag)),
        }
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("*"),
            Self::OneOf(tags) => {
                let tags: Vec<_> = tags.iter().map(EntityTag::to_string).collect();
                formatter.write_str(&tags.join(", "))
            }
        }
    }
}

impl FromStr for Tags {
    type Err = Malformed;

    /// Reads a header's value. Its tags may hold commas, so it cannot be split at them.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let separators = |symbol| matches!(symbol, ' ' | '\t' | ',');
        let mut tags = Vec::new();
        let mut rest = text.trim_start_matches(separators);
        while !rest.is_empty() {
            let (tag, after) = EntityTag::take(rest).ok_or(Malformed)?;
            tags.push(tag);
            rest = after.trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(Malformed);
            }
            rest = rest.trim_start_matches(separators);
        }
        if tags.is_empty() {
            Err(Malformed)
        } else {
            Ok(Self::OneOf(tags))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_whatever_its_tags_hold() {
        let tags: Tags = r#""7" ,W/"a,b",,"" , "x" "#.parse().expect("a list");
        assert_eq!(tags.to_string(), r#""7", W/"a,b", "", "x""#);
        assert_eq!(" * ".parse(), Ok(Tags::Any));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for wrong in [
            "",
            ",",
            "7",
            "\"7",
            "\"7\" \"8\"",
            "w/\"7\"",
            "*, \"7\"",
            "\"a b\"",
            "\"7\"x",
        ] {
            assert_eq!(wrong.parse::<Tags>(), Err(Malformed), "{wrong}");
        }
    }

    #[test]
    fn a_weak_tag_is_good_for_reading_only() {
        let (strong, weak) = (
            EntityTag::strong("7"),
            EntityTag {
                weak: true,
                ..EntityTag::strong("7")
            },
        );
        assert!(weak.weakly_equals(&strong));
        assert!(!weak.strongly_equals(&strong) && !weak.strongly_equals(&weak));
        assert!(Tags::OneOf(vec![strong.clone()]).contain(&strong));
        assert!(!Tags::OneOf(vec![weak]).contain(&strong));
    }
}
