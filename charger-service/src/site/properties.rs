//! What may be said of a site.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use service_kit::reason::FieldViolation;

use super::Row;
use crate::audit::Entry;
use crate::label::is_label;

const LONGEST_NAME: usize = 100;
const LONGEST_ADDRESS: usize = 300;
const LONGEST_GROUP: usize = 50;
const MOST_GROUPS: usize = 20;

/// Where nobody says.
pub const DEFAULT_TIME_ZONE: &str = "Etc/UTC";

pub fn name(name: String) -> Result<String, FieldViolation> {
    if is_label(&name, LONGEST_NAME) {
        return Ok(name);
    }
    let problem = format!("must have 1 to {LONGEST_NAME} printable characters, and no space at either end");
    Err(FieldViolation::new("name", problem))
}

/// In the spelling of the time zone database.
pub fn time_zone(name: &str) -> Result<String, FieldViolation> {
    let known = TimeZone::get(name).ok();
    known
        .as_ref()
        .and_then(TimeZone::iana_name)
        .map(str::to_owned)
        .ok_or_else(|| FieldViolation::new("timeZone", "is no name of a time zone, such as Europe/Berlin"))
}

pub fn grid_limit(watts: i32) -> Result<i32, FieldViolation> {
    if watts > 0 {
        return Ok(watts);
    }
    Err(FieldViolation::new(
        "gridLimitWatts",
        "must be between 1 and 2147483647",
    ))
}

/// None where it says nothing.
pub fn address(address: &str) -> Result<Option<String>, FieldViolation> {
    if address.chars().count() > LONGEST_ADDRESS || address.chars().any(char::is_control) {
        let problem = format!("must have at most {LONGEST_ADDRESS} printable characters");
        return Err(FieldViolation::new("address", problem));
    }
    Ok(Some(address.trim())
        .filter(|address| !address.is_empty())
        .map(str::to_owned))
}

/// Each once, in alphabetical order; or every one that is wrong.
pub fn groups(groups: Vec<String>) -> Result<Vec<String>, Vec<FieldViolation>> {
    // However long a list is, it is wrong once.
    if groups.len() > MOST_GROUPS * 10 {
        let problem = format!("must not be more than {MOST_GROUPS}");
        return Err(vec![FieldViolation::new("groups", problem)]);
    }
    let problem = format!("must have 1 to {LONGEST_GROUP} printable characters, and no space at either end");
    let mut violations: Vec<_> = groups
        .iter()
        .enumerate()
        .filter(|(_, group)| !is_label(group, LONGEST_GROUP))
        .map(|(index, _)| FieldViolation::new(format!("groups[{index}]"), problem.as_str()))
        .collect();
    let distinct: BTreeSet<String> = groups.into_iter().collect();
    if distinct.len() > MOST_GROUPS {
        violations.push(FieldViolation::new(
            "groups",
            format!("must not be more than {MOST_GROUPS}"),
        ));
    }
    if violations.is_empty() {
        Ok(distinct.into_iter().collect())
    } else {
        Err(violations)
    }
}

/// What a site is from then on, for the audit log.
pub fn properties<'a>(entry: Entry<'a>, row: &Row) -> Entry<'a> {
    entry
        .with("site", Some(row.id.to_string()))
        .with("name", Some(row.name.as_str()))
        .with("timeZone", Some(row.time_zone.as_str()))
        .with("gridLimitWatts", row.grid_limit_watts)
        .with("groups", Some(row.groups.clone()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn time_zones_are_those_of_the_database_in_its_spelling() {
        assert_eq!(time_zone("Europe/Berlin").unwrap(), "Europe/Berlin");
        assert_eq!(time_zone("europe/berlin").unwrap(), "Europe/Berlin");
        assert_eq!(time_zone(DEFAULT_TIME_ZONE).unwrap(), DEFAULT_TIME_ZONE);
        for unknown in ["", "Berlin", "+02:00", "Europe/Atlantis", "../etc/passwd"] {
            assert_eq!(time_zone(unknown).unwrap_err().field, "timeZone", "{unknown}");
        }
    }

    #[test]
    fn groups_are_there_once_each_in_order_and_every_wrong_one_is_named() {
        let some = ["b", "a", "b"].map(str::to_owned).to_vec();
        assert_eq!(groups(some).unwrap(), ["a", "b"]);
        let wrong = vec!["a".to_owned(), String::new(), " b".to_owned(), "x".repeat(51)];
        let fields: Vec<_> = groups(wrong).unwrap_err().into_iter().map(|one| one.field).collect();
        assert_eq!(fields, ["groups[1]", "groups[2]", "groups[3]"]);
        let many = (0..21).map(|index| index.to_string()).collect();
        assert_eq!(groups(many).unwrap_err()[0].field, "groups");
    }

    #[test]
    fn an_address_of_spaces_is_none() {
        assert_eq!(address("  ").unwrap(), None);
        assert_eq!(address(" Quay 1 ").unwrap().as_deref(), Some("Quay 1"));
        assert_eq!(address("a\nb").unwrap_err().field, "address");
    }
}
