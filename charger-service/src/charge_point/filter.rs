//! By what charge points are found: the filters of their list, and of whom a campaign is for.

use service_kit::reason::FieldViolation;
use uuid::Uuid;

use crate::boot::Registration;

/// No identity, no name and no group is longer, in characters.
const LONGEST: usize = 100;

/// As they are told.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    pub online: Option<bool>,
    pub registration_status: Option<&'a str>,
    pub vendor: Option<&'a str>,
    pub model: Option<&'a str>,
    pub firmware_version: Option<&'a str>,
    pub site_id: Option<&'a str>,
    pub site_group: Option<&'a str>,
    pub search: Option<&'a str>,
}

/// All of what is there has to hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter {
    pub online: Option<bool>,
    pub registration: Option<Registration>,
    pub vendor: Option<String>,
    pub model: Option<String>,
    pub firmware_version: Option<String>,
    pub site: Option<Uuid>,
    pub site_group: Option<String>,
    /// A pattern of SQL for how the identity or the name begins.
    pub beginning: Option<String>,
}

impl Filter {
    /// Notes what is wrong with it.
    pub fn parse(asked: &Asked<'_>, violations: &mut Vec<FieldViolation>) -> Self {
        let registration = asked.registration_status.map(Registration::parse);
        if registration == Some(None) {
            let problem = "must be Accepted, Pending or Rejected";
            violations.push(FieldViolation::new("registrationStatus", problem));
        }
        let site = asked.site_id.map(Uuid::try_parse);
        if let Some(Err(_)) = site {
            violations.push(FieldViolation::new("siteId", "is not a UUID"));
        }
        let texts = [
            ("vendor", asked.vendor),
            ("model", asked.model),
            ("firmwareVersion", asked.firmware_version),
            ("siteGroup", asked.site_group),
            ("search", asked.search),
        ];
        texts
            .into_iter()
            .for_each(|(field, text)| check(field, text, violations));
        Self {
            online: asked.online,
            registration: registration.flatten(),
            vendor: asked.vendor.map(str::to_owned),
            model: asked.model.map(str::to_owned),
            firmware_version: asked.firmware_version.map(str::to_owned),
            site: site.and_then(Result::ok),
            site_group: asked.site_group.map(str::to_owned),
            beginning: asked.search.map(beginning),
        }
    }
}

/// Notes what is wrong with a text to compare with.
fn check(field: &str, text: Option<&str>, violations: &mut Vec<FieldViolation>) {
    let Some(text) = text else { return };
    if text.contains('\0') {
        violations.push(FieldViolation::new(field, "must not contain a null character"));
    }
    if text.chars().count() > LONGEST {
        let problem = format!("must have at most {LONGEST} characters");
        violations.push(FieldViolation::new(field, problem));
    }
}

/// Matches what begins with this text, whatever is in it.
fn beginning(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_for_is_no_pattern() {
        assert_eq!(beginning("50%_\\"), "50\\%\\_\\\\%");
    }
}
