//! Words that operators put on charge points, to find them by.

use std::collections::BTreeSet;

use service_kit::reason::FieldViolation;

const MOST: usize = 32;
const LONGEST: usize = 50;

const PROBLEM: &str = "must have 1 to 50 letters, digits and signs ._:/-, a letter or digit at either end";

/// Each once, in alphabetical order; or every one that is wrong.
pub(super) fn parse(tags: Vec<String>) -> Result<Vec<String>, Vec<FieldViolation>> {
    // However long a list is, it is wrong once.
    if tags.len() > MOST * 10 {
        return Err(vec![FieldViolation::new(
            "tags",
            format!("must not be more than {MOST}"),
        )]);
    }
    let mut violations: Vec<_> = tags
        .iter()
        .enumerate()
        .filter(|(_, tag)| !is_tag(tag))
        .map(|(index, _)| FieldViolation::new(format!("tags[{index}]"), PROBLEM))
        .collect();
    let distinct: BTreeSet<String> = tags.into_iter().collect();
    if distinct.len() > MOST {
        violations.push(FieldViolation::new("tags", format!("must not be more than {MOST}")));
    }
    if violations.is_empty() {
        Ok(distinct.into_iter().collect())
    } else {
        Err(violations)
    }
}

/// Those to look for. What is no tag no charge point has, and is a mistake.
pub(super) fn parse_filter(tags: Vec<String>) -> Result<Vec<String>, Vec<FieldViolation>> {
    parse(tags).map_err(|violations| {
        let renamed = violations.into_iter().map(|violation| FieldViolation {
            field: violation.field.replacen("tags", "tag", 1),
            ..violation
        });
        renamed.collect()
    })
}

fn is_tag(text: &str) -> bool {
    let is_alphanumeric = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= LONGEST
        && is_alphanumeric(text.bytes().next())
        && is_alphanumeric(text.bytes().next_back())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fields(tags: &[&str]) -> Vec<String> {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let violations = parse(tags).err().unwrap_or_default();
        violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_tag_is_a_plain_word() {
        let longest = "x".repeat(50);
        assert_eq!(
            fields(&["fast", "A", "owner:acme/north", "v1.2_b-c", &longest]),
            [""; 0]
        );
        let too_long = "x".repeat(51);
        assert_eq!(
            fields(&["a b", "ok", "", "-x", "x.", "é", "a,b", &too_long]),
            [
                "tags[0]", "tags[2]", "tags[3]", "tags[4]", "tags[5]", "tags[6]", "tags[7]"
            ]
        );
    }

    #[test]
    fn tags_are_there_once_each_in_order_and_there_are_thirty_two_at_most() {
        let tags = ["b", "a", "b"].map(str::to_owned).to_vec();
        assert_eq!(parse(tags).unwrap(), ["a", "b"]);
        let many: Vec<String> = (0..33).map(|index| index.to_string()).collect();
        assert!(parse(many[..32].to_vec()).is_ok());
        assert_eq!(parse(many.clone()).unwrap_err()[0].field, "tags");
        assert_eq!(parse_filter(many).unwrap_err()[0].field, "tag");
        assert_eq!(parse_filter(vec![String::new()]).unwrap_err()[0].field, "tag[0]");
    }
}
