//! What an account asks to be told of.

use service_kit::reason::FieldViolation;
use voltgate_proto::email::v1::ReplaceSubscriptionRequest;

use super::Kind;
use crate::words;

const MOST_CHARGE_POINTS: usize = 1000;
const MOST_GROUPS: usize = 100;
const LONGEST: usize = 255;
const DEFAULT_DIGEST: i32 = 300;
const LONGEST_DIGEST: i32 = 86_400;

/// A subscription that breaks no rule.
#[derive(Debug)]
pub(crate) struct Replacement {
    pub name: String,
    pub kinds: Vec<String>,
    pub charge_points: Vec<String>,
    pub groups: Vec<String>,
    pub digest_seconds: i32,
}

impl TryFrom<ReplaceSubscriptionRequest> for Replacement {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ReplaceSubscriptionRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        if !words::is_name(&request.name) {
            violations.push(FieldViolation::new("name", words::NO_NAME));
        }
        let known = Kind::ALL.map(Kind::as_str);
        for (index, kind) in request.kinds.iter().enumerate() {
            if Kind::parse(kind).is_none() || request.kinds.iter().take(index).any(|before| before == kind) {
                let problem = format!("must be one of {}, each once", known.join(", "));
                violations.push(FieldViolation::new(format!("kinds[{index}]"), problem));
                break;
            }
        }
        for (field, texts, most) in [
            ("chargePoints", &request.charge_points, MOST_CHARGE_POINTS),
            ("groups", &request.groups, MOST_GROUPS),
        ] {
            if texts.len() > most {
                violations.push(FieldViolation::new(field, format!("must have at most {most}")));
            }
            for (index, text) in texts.iter().enumerate().take(most) {
                if !(1..=LONGEST).contains(&text.chars().count()) || text.chars().any(char::is_control) {
                    let problem = "must have 1 to 255 printable characters";
                    violations.push(FieldViolation::new(format!("{field}[{index}]"), problem));
                }
            }
        }
        let digest_seconds = request.digest_seconds.unwrap_or(DEFAULT_DIGEST);
        if !(0..=LONGEST_DIGEST).contains(&digest_seconds) {
            violations.push(FieldViolation::new("digestSeconds", "must be between 0 and 86400"));
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        let kinds = match request.kinds.is_empty() {
            true => known.map(str::to_owned).to_vec(),
            false => request.kinds,
        };
        Ok(Self {
            name: request.name,
            kinds,
            charge_points: request.charge_points,
            groups: request.groups,
            digest_seconds,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_enough_and_stands_for_everything() {
        let request = ReplaceSubscriptionRequest {
            name: "all".to_owned(),
            ..Default::default()
        };
        let new = Replacement::try_from(request).unwrap();
        assert_eq!((new.kinds.len(), new.digest_seconds), (3, 300));
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let request = ReplaceSubscriptionRequest {
            name: "North Sea".to_owned(),
            kinds: vec!["offline".to_owned(), "offline".to_owned()],
            charge_points: vec!["CP-1".to_owned(), String::new()],
            groups: vec!["g".to_owned(); 101],
            digest_seconds: Some(-1),
        };
        let violations = Replacement::try_from(request).unwrap_err();
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(
            fields,
            ["name", "kinds[1]", "chargePoints[1]", "groups", "digestSeconds"]
        );
    }
}
