//! Groups of sites to which an operator is limited. Sites and their groups are charger-service's: a group that no site is in is no
//! mistake here, and lets the operator see nothing.

use std::collections::BTreeSet;

use service_kit::reason::FieldViolation;

/// Of an account. They stand in each of its access tokens.
const MOST: usize = 32;

/// In characters, as for sites.
const LONGEST: usize = 50;

/// In bytes, all together: the longest access token that is read has to have room for them.
const MOST_BYTES: usize = 1500;

/// In alphabetical order, each once; none where no limit was told.
///
/// # Errors
/// All that are no names of groups, or that there are too many.
pub fn parse(told: Vec<String>) -> Result<Option<Vec<String>>, Vec<FieldViolation>> {
    let is_name = |text: &str| {
        (1..=LONGEST).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
    };
    let mut violations: Vec<_> = told
        .iter()
        .enumerate()
        .filter(|(_, group)| !is_name(group))
        .map(|(index, _)| {
            let problem = format!("must have 1 to {LONGEST} printable characters, and no space at either end");
            FieldViolation::new(format!("siteGroups[{index}]"), problem)
        })
        .collect();
    let distinct: BTreeSet<String> = told.into_iter().collect();
    if distinct.len() > MOST {
        violations.push(FieldViolation::new(
            "siteGroups",
            format!("must not be more than {MOST}"),
        ));
    }
    if distinct.iter().map(String::len).sum::<usize>() > MOST_BYTES {
        let problem = format!("must have {MOST_BYTES} bytes together at most");
        violations.push(FieldViolation::new("siteGroups", problem));
    }
    if violations.is_empty() {
        Ok((!distinct.is_empty()).then(|| distinct.into_iter().collect()))
    } else {
        Err(violations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Result<Option<Vec<String>>, Vec<String>> {
        let told = names.iter().map(|name| (*name).to_owned()).collect();
        parse(told).map_err(|violations| violations.into_iter().map(|violation| violation.field).collect())
    }

    #[test]
    fn groups_are_there_once_each_in_order_and_every_wrong_one_is_named() {
        assert_eq!(of(&["b", "a", "b"]), Ok(Some(vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(of(&[]), Ok(None));
        let wrong = ["a", "", " a", "a\0"];
        assert_eq!(
            of(&wrong),
            Err(["siteGroups[1]", "siteGroups[2]", "siteGroups[3]"]
                .map(str::to_owned)
                .to_vec())
        );
        let many: Vec<_> = (0..33).map(|number| number.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(of(&many), Err(vec!["siteGroups".to_owned()]));
        let long: Vec<_> = (0..20).map(|number| format!("{number:02}{}", "ü".repeat(48))).collect();
        let long: Vec<_> = long.iter().map(String::as_str).collect();
        assert_eq!(of(&long), Err(vec!["siteGroups".to_owned()]));
    }
}
