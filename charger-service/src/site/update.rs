//! Changes a site.

use service_kit::database;
use service_kit::reason::FieldViolation;
use service_kit::version::{self, IfMatch};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::UpdateSiteRequest;

use super::Row;
use super::create::exists;
use super::list::{self, GetError};
use super::properties::{self, DEFAULT_TIME_ZONE};
use crate::State;
use crate::audit::{self, Action, Author, Entry};

/// The fields that can be changed.
const FIELDS: [&str; 5] = ["name", "time_zone", "grid_limit_watts", "address", "groups"];

/// A change that breaks no rule. What it does not have stays.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    id: String,
    name: Option<String>,
    time_zone: Option<String>,
    /// Inside: none takes it away.
    grid_limit_watts: Option<Option<i32>>,
    address: Option<Option<String>>,
    groups: Option<Vec<String>>,
}

#[derive(Debug, Error)]
pub enum UpdateError {
    #[error("the site has been changed meanwhile")]
    Changed,
    #[error("the name is another site's")]
    Exists,
    #[error("the site could not be changed")]
    Database(#[source] sqlx::Error),
    #[error(transparent)]
    Get(#[from] GetError),
}

impl From<sqlx::Error> for UpdateError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("site_name_unique") => Self::Exists,
            _ => Self::Database(error),
        }
    }
}

impl From<UpdateError> for Status {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Changed => version::changed(),
            UpdateError::Exists => exists(),
            UpdateError::Database(error) => database::failed(&error),
            UpdateError::Get(error) => error.into(),
        }
    }
}

impl TryFrom<UpdateSiteRequest> for Change {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses, in those too that the mask does not name.
    fn try_from(request: UpdateSiteRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        // A mask of no fields is none.
        let mask = request
            .update_mask
            .map(|mask| mask.paths)
            .filter(|paths| !paths.is_empty());
        if let Some(unknown) = mask.iter().flatten().find(|path| !FIELDS.contains(&path.as_str())) {
            let problem = format!("names `{unknown}`, which cannot be changed");
            violations.push(FieldViolation::new("updateMask", problem));
        }
        let is_changed = |field: &str, given: bool| match &mask {
            Some(paths) => paths.iter().any(|path| path == field),
            None => given,
        };
        let changes_name = is_changed("name", request.name.is_some());
        let changes_time_zone = is_changed("time_zone", request.time_zone.is_some());
        let changes_grid_limit = is_changed("grid_limit_watts", request.grid_limit_watts.is_some());
        let changes_address = is_changed("address", request.address.is_some());
        let changes_groups = is_changed("groups", !request.groups.is_empty());
        let mut note = |violation| violations.push(violation);
        let name = request
            .name
            .and_then(|name| properties::name(name).map_err(&mut note).ok());
        let time_zone = request.time_zone.as_deref().unwrap_or(DEFAULT_TIME_ZONE);
        let time_zone = properties::time_zone(time_zone).map_err(&mut note).ok();
        let grid_limit = request
            .grid_limit_watts
            .and_then(|watts| properties::grid_limit(watts).map_err(&mut note).ok());
        let address = request.address.as_deref().unwrap_or_default();
        let address = properties::address(address).map_err(&mut note).ok().flatten();
        let groups = properties::groups(request.groups)
            .map_err(|wrong| wrong.into_iter().for_each(&mut note))
            .ok();
        if !violations.is_empty() {
            return Err(violations);
        }
        Ok(Self {
            id: request.id,
            // There is no site without one.
            name: name.filter(|_| changes_name),
            time_zone: time_zone.filter(|_| changes_time_zone),
            grid_limit_watts: changes_grid_limit.then_some(grid_limit),
            address: changes_address.then_some(address),
            groups: groups.filter(|_| changes_groups),
        })
    }
}

/// Changes it in the version that the caller has seen, and returns it as it is then.
pub async fn update(state: &State, change: Change, if_match: &IfMatch, author: &Author) -> Result<Row, UpdateError> {
    let id = list::parse_id(&change.id)?;
    let mut transaction = database::begin(&state.database).await?;
    let updated = sqlx::query_as!(
        Row,
        "UPDATE ocpp.site
         SET name = coalesce($2, name), time_zone = coalesce($3, time_zone),
             grid_limit_watts = CASE WHEN $4 THEN $5 ELSE grid_limit_watts END,
             address = CASE WHEN $6 THEN $7 ELSE address END, groups = coalesce($8, groups),
             revision = nextval('ocpp.revision')
         WHERE id = $1 AND ($9::bigint[] IS NULL OR revision = ANY($9))
         RETURNING id, name, time_zone, grid_limit_watts, address, groups, created_at, revision",
        id,
        change.name,
        change.time_zone,
        change.grid_limit_watts.is_some(),
        change.grid_limit_watts.flatten(),
        change.address.is_some(),
        change.address.flatten(),
        change.groups.as_deref(),
        if_match.revisions(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(updated) = updated else {
        list::read(&mut transaction, id).await?;
        return Err(UpdateError::Changed);
    };
    let entry = Entry::new(Action::SiteUpdated, state.clock.now(), author);
    audit::record(&mut transaction, properties::properties(entry, &updated)).await?;
    transaction.commit().await?;
    Ok(updated)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn masked(paths: &[&str], request: UpdateSiteRequest) -> Result<Change, Vec<String>> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateSiteRequest {
            update_mask: Some(prost_types::FieldMask { paths }),
            ..request
        };
        Change::try_from(request)
            .map_err(|violations| violations.into_iter().map(|violation| violation.field).collect())
    }

    #[test]
    fn without_a_mask_what_is_given_is_changed() {
        let request = UpdateSiteRequest {
            time_zone: Some("Europe/Paris".to_owned()),
            groups: vec!["north".to_owned()],
            ..Default::default()
        };
        let change = masked(&[], request).unwrap();
        assert_eq!(change.time_zone.as_deref(), Some("Europe/Paris"));
        assert_eq!(change.groups, Some(vec!["north".to_owned()]));
        assert!(change.name.is_none() && change.grid_limit_watts.is_none() && change.address.is_none());
    }

    #[test]
    fn what_a_mask_names_and_the_request_leaves_out_is_cleared_but_for_the_name() {
        let change = masked(&FIELDS, UpdateSiteRequest::default()).unwrap();
        assert_eq!(change.name, None);
        assert_eq!(change.time_zone.as_deref(), Some(DEFAULT_TIME_ZONE));
        assert_eq!((change.grid_limit_watts, change.address), (Some(None), Some(None)));
        assert_eq!(change.groups, Some(Vec::new()));
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = UpdateSiteRequest {
            name: Some(String::new()),
            time_zone: Some("Nowhere".to_owned()),
            grid_limit_watts: Some(-1),
            groups: vec![" ".to_owned()],
            ..Default::default()
        };
        assert_eq!(
            masked(&["id"], wrong).unwrap_err(),
            ["updateMask", "name", "timeZone", "gridLimitWatts", "groups[0]"]
        );
    }
}
