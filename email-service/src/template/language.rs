//! The languages that templates are written in.

/// English first: everything is written in it, and it takes the place of what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Language {
    #[default]
    English,
    German,
}

impl Language {
    pub const ALL: &[Self] = &[Self::English, Self::German];

    /// As a BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The one that suits whoever reads `tag`: the same language, wherever it is spoken. Where there is none, English.
    pub fn of(tag: Option<&str>) -> Self {
        let primary = tag.and_then(|tag| tag.split(['-', '_']).next()).unwrap_or_default();
        let mut known = Self::ALL.iter().copied();
        known
            .find(|language| language.tag().eq_ignore_ascii_case(primary))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_of_its_language_wherever_that_is_spoken_and_of_english_where_nobody_wrote_in_it() {
        for (tag, language) in [
            (Some("de"), Language::German),
            (Some("de-CH"), Language::German),
            (Some("DE_at"), Language::German),
            (Some("en-GB"), Language::English),
            (Some("fr"), Language::English),
            (Some("deu"), Language::English),
            (Some(""), Language::English),
            (None, Language::English),
        ] {
            assert_eq!(Language::of(tag), language, "{tag:?}");
        }
    }
}
