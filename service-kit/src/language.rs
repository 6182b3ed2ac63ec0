//! Languages as people and browsers name them: tags of BCP 47, by their shape. Which ones anything is written in is not known here.

/// In characters; the longest tags that are in use have as many.
const LONGEST: usize = 35;

/// How many ranges of an `Accept-Language` are looked at.
const MOST_RANGES: usize = 32;

/// Whether it is a language, perhaps with script, region and variants.
pub fn is_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let is_language = parts
        .next()
        .is_some_and(|first| (2..=8).contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_alphabetic()));
    text.len() <= LONGEST
        && is_language
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// The language that an `Accept-Language` (RFC 9110, section 12.5.4) likes best; the first of several that it likes as much. None where
/// it names none.
pub fn preferred(header: &str) -> Option<String> {
    let ranges = header.split(',').take(MOST_RANGES).filter_map(|range| {
        let (tag, weight) = match range.split_once(';') {
            Some((tag, weight)) => (tag.trim(), weight.trim().strip_prefix("q=")?.parse::<f32>().ok()?),
            None => (range.trim(), 1.0),
        };
        (is_tag(tag) && weight > 0.0).then_some((tag, weight))
    });
    let best = ranges.fold(None, |best: Option<(&str, f32)>, range| match best {
        Some(best) if best.1 >= range.1 => Some(best),
        Some(_) | None => Some(range),
    });
    best.map(|(tag, _)| tag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_a_language_and_perhaps_more() {
        for tag in ["de", "de-CH", "zh-Hant-TW", "sr-Latn"] {
            assert!(is_tag(tag), "{tag}");
        }
        for wrong in [
            "",
            "d",
            "*",
            "de_CH",
            "de-",
            "-de",
            "d1",
            "de-CH-\u{e4}",
            &"de-abcdefgh".repeat(5),
        ] {
            assert!(!is_tag(wrong), "{wrong}");
        }
    }

    #[test]
    fn the_best_liked_language_counts_and_the_first_of_several() {
        for (header, best) in [
            ("de-CH,de;q=0.9,en;q=0.8", Some("de-CH")),
            ("en;q=0.5, fr;q=0.7, de;q=0.7", Some("fr")),
            ("*, de;q=0.1", Some("de")),
            ("de;q=0", None),
            ("de;q=much", None),
            ("", None),
            ("*", None),
        ] {
            assert_eq!(preferred(header).as_deref(), best, "{header}");
        }
    }
}
