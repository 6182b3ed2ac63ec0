//! Whom a campaign is for: charge points that are named, or those that are so at the moment of its creation.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use service_kit::database;
use service_kit::reason::FieldViolation;
use sqlx::PgConnection;
use thiserror::Error;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::ChargePointSelection;
use voltgate_proto::ocpp::v1::create_campaign_request::Whom as Asked;

use super::pace::MOST_TARGETS;
use super::under;
use crate::boot::Registration;
use crate::charge_point::filter::{self, Filter};
use crate::charge_point::identity;

/// Charge points that can be named.
const MOST_NAMED: usize = 10_000;

/// Problems with names that are told; of more only the number.
const MOST_TOLD: usize = 50;

const NAMED: &str = "chargePoints.identities";

#[derive(Debug)]
pub enum Addressed {
    Named(Vec<String>),
    Selected(Box<Selection>),
}

#[derive(Debug)]
pub struct Selection {
    filter: Filter,
    pub told: Told,
}

/// A selection as it was told. Kept as JSON, so that names in it are never changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Told {
    site_id: Option<String>,
    site_group: Option<String>,
    vendor: Option<String>,
    model: Option<String>,
    firmware_version: Option<String>,
    registration_status: Option<String>,
    online: Option<bool>,
    search: Option<String>,
}

#[derive(Debug, Error)]
pub enum ResolveError {
    #[error("some are not there, or too many")]
    Invalid(Vec<FieldViolation>),
    #[error("charge points could not be looked up")]
    Database(#[from] sqlx::Error),
}

impl Addressed {
    /// Notes what is wrong with it.
    pub fn parse(asked: Option<Asked>, violations: &mut Vec<FieldViolation>) -> Option<Self> {
        match asked {
            Some(Asked::ChargePoints(named)) => {
                violations.extend(wrong_names(&named.identities));
                Some(Self::Named(named.identities))
            }
            Some(Asked::Selection(selection)) => {
                let mut problems = Vec::new();
                let selection = Selection::parse(selection, &mut problems);
                violations.extend(under("selection", problems));
                Some(Self::Selected(Box::new(selection)))
            }
            None => {
                violations.push(FieldViolation::new("chargePoints", "or selection is required"));
                None
            }
        }
    }

    /// Their ids, in the order in which they come.
    pub async fn resolve(&self, connection: &mut PgConnection) -> Result<Vec<Uuid>, ResolveError> {
        match self {
            Self::Named(identities) => named(connection, identities).await,
            Self::Selected(selection) => selection.resolve(connection).await,
        }
    }
}

fn wrong_names(identities: &[String]) -> Vec<FieldViolation> {
    if identities.is_empty() || identities.len() > MOST_NAMED {
        let problem = format!("must be 1 to {MOST_NAMED}");
        return vec![FieldViolation::new(NAMED, problem)];
    }
    let mut before = HashSet::new();
    let problems = identities.iter().enumerate().filter_map(|(index, name)| {
        let problem = if !(1..=identity::MAX_LENGTH).contains(&name.chars().count()) {
            "must have 1 to 48 characters".to_owned()
        } else if name.contains('\0') {
            "must not contain a null character".to_owned()
        } else if !before.insert(name) {
            format!("is named twice: {name}")
        } else {
            return None;
        };
        Some(FieldViolation::new(format!("{NAMED}[{index}]"), problem))
    });
    bounded(problems.collect())
}

/// A request may break a rule ten thousand times, and an answer has no room for that.
fn bounded(mut problems: Vec<FieldViolation>) -> Vec<FieldViolation> {
    if let Some(more) = problems.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
        problems.truncate(MOST_TOLD);
        problems.push(FieldViolation::new(NAMED, format!("has {more} more that are wrong")));
    }
    problems
}

async fn named(connection: &mut PgConnection, identities: &[String]) -> Result<Vec<Uuid>, ResolveError> {
    let found = sqlx::query_scalar!(
        r#"SELECT charge_point.id AS "id?"
           FROM unnest($1::text[]) WITH ORDINALITY AS named (identity, place)
           LEFT JOIN ocpp.charge_point ON charge_point.identity = named.identity AND retired_at IS NULL
           ORDER BY place"#,
        identities,
    )
    .fetch_all(connection)
    .await?;
    let unknown = found
        .iter()
        .zip(identities)
        .enumerate()
        .filter_map(|(index, (id, name))| {
            let problem = || {
                FieldViolation::new(
                    format!("{NAMED}[{index}]"),
                    format!("is of no charge point in use: {name}"),
                )
            };
            id.is_none().then(problem)
        });
    let unknown = bounded(unknown.collect());
    if unknown.is_empty() {
        Ok(found.into_iter().flatten().collect())
    } else {
        Err(ResolveError::Invalid(unknown))
    }
}

impl Selection {
    fn parse(asked: ChargePointSelection, problems: &mut Vec<FieldViolation>) -> Self {
        let by = filter::Asked {
            online: asked.online,
            registration_status: asked.registration_status.as_deref(),
            vendor: asked.vendor.as_deref(),
            model: asked.model.as_deref(),
            firmware_version: asked.firmware_version.as_deref(),
            site_id: asked.site_id.as_deref(),
            site_group: asked.site_group.as_deref(),
            search: asked.search.as_deref(),
        };
        Self {
            filter: Filter::parse(&by, problems),
            told: asked.into(),
        }
    }

    async fn resolve(&self, connection: &mut PgConnection) -> Result<Vec<Uuid>, ResolveError> {
        let refused = |problem: String| Err(ResolveError::Invalid(vec![FieldViolation::new("selection", problem)]));
        database::plan_for_values(connection).await?;
        // As their list has it (`charge_point::list`).
        let found = sqlx::query_scalar!(
            r#"SELECT charge_point.id
               FROM ocpp.charge_point
               LEFT JOIN ocpp.session ON session.charge_point_id = charge_point.id
               LEFT JOIN ocpp.instance ON instance.id = session.instance_id
               WHERE ($1::boolean IS NULL OR (disconnected_at IS NULL AND lease_until > now()) IS TRUE = $1)
                 AND ($2::text IS NULL OR registration_status = $2)
                 AND ($3::text IS NULL OR lower(vendor) = lower($3))
                 AND ($4::text IS NULL OR lower(model) = lower($4))
                 AND ($5::text IS NULL OR lower(identity) LIKE lower($5 COLLATE "C")
                      OR lower(display_name) LIKE lower($5))
                 AND ($6::uuid IS NULL OR site_id = $6)
                 AND ($7::text IS NULL OR lower(firmware_version) = lower($7))
                 AND retired_at IS NULL
                 AND ($8::text IS NULL OR EXISTS (
                     SELECT FROM ocpp.site WHERE site.id = site_id AND groups @> ARRAY[$8::text]))
               ORDER BY identity LIMIT $9"#,
            self.filter.online,
            self.filter.registration.map(Registration::as_str),
            self.filter.vendor,
            self.filter.model,
            self.filter.beginning,
            self.filter.site,
            self.filter.firmware_version,
            self.filter.site_group,
            i64::from(MOST_TARGETS) + 1,
        )
        .fetch_all(connection)
        .await?;
        match found.len() {
            0 => refused("fits no charge point".to_owned()),
            fitting if i32::try_from(fitting).is_ok_and(|fitting| fitting <= MOST_TARGETS) => Ok(found),
            _ => refused(format!("fits more than {MOST_TARGETS} charge points")),
        }
    }
}

impl From<ChargePointSelection> for Told {
    fn from(asked: ChargePointSelection) -> Self {
        Self {
            site_id: asked.site_id,
            site_group: asked.site_group,
            vendor: asked.vendor,
            model: asked.model,
            firmware_version: asked.firmware_version,
            registration_status: asked.registration_status,
            online: asked.online,
            search: asked.search,
        }
    }
}

impl From<Told> for ChargePointSelection {
    fn from(told: Told) -> Self {
        Self {
            site_id: told.site_id,
            site_group: told.site_group,
            vendor: told.vendor,
            model: told.model,
            firmware_version: told.firmware_version,
            registration_status: told.registration_status,
            online: told.online,
            search: told.search,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(identities: &[&str]) -> Vec<String> {
        let identities: Vec<String> = identities.iter().map(|name| (*name).to_owned()).collect();
        wrong_names(&identities)
            .into_iter()
            .map(|problem| problem.field)
            .collect()
    }

    #[test]
    fn every_name_that_is_wrong_is_told_up_to_fifty() {
        let long = "x".repeat(49);
        assert_eq!(
            fields(&["A", "", "A", &long, "a\0"]),
            ["[1]", "[2]", "[3]", "[4]"].map(|place| format!("{NAMED}{place}"))
        );
        assert_eq!(fields(&[]), [NAMED]);
        assert_eq!(fields(&[""; 51]).len(), 51);
        let many = wrong_names(&vec![String::new(); 10_000]);
        assert_eq!(many.len(), 51);
        assert_eq!(many[50].message, "has 9950 more that are wrong");
        assert_eq!(wrong_names(&vec![String::new(); 10_001]).len(), 1);
    }

    #[test]
    fn a_selection_is_shown_as_it_was_told() {
        let selection = ChargePointSelection {
            site_group: Some("north".to_owned()),
            online: Some(true),
            ..ChargePointSelection::default()
        };
        assert_eq!(ChargePointSelection::from(Told::from(selection.clone())), selection);
    }

    #[test]
    fn every_filter_that_is_wrong_is_named_at_once() {
        let wrong = ChargePointSelection {
            site_id: Some("harbour".to_owned()),
            site_group: Some("\0".to_owned()),
            firmware_version: Some("\0".to_owned()),
            registration_status: Some("accepted".to_owned()),
            ..ChargePointSelection::default()
        };
        let mut violations = Vec::new();
        Addressed::parse(Some(Asked::Selection(wrong)), &mut violations);
        Addressed::parse(None, &mut violations);
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(
            fields,
            [
                "selection.registrationStatus",
                "selection.siteId",
                "selection.firmwareVersion",
                "selection.siteGroup",
                "chargePoints"
            ]
        );
    }
}
