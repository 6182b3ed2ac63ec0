//! Registers a site.

use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::CreateSiteRequest;

use super::Row;
use super::properties::{self, DEFAULT_TIME_ZONE};
use crate::State;
use crate::audit::{self, Action, Author, Entry};

/// A site that breaks no rule.
#[derive(Debug)]
pub struct NewSite {
    name: String,
    time_zone: String,
    grid_limit_watts: Option<i32>,
    address: Option<String>,
    groups: Vec<String>,
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error("the name is another site's")]
    Exists,
    #[error("the site could not be stored")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("site_name_unique") => Self::Exists,
            _ => Self::Database(error),
        }
    }
}

impl From<CreateError> for Status {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Exists => exists(),
            CreateError::Database(error) => database::failed(&error),
        }
    }
}

pub(super) fn exists() -> Status {
    Reason::SiteExists.status("There is a site of this name, perhaps in other letter case")
}

impl TryFrom<CreateSiteRequest> for NewSite {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: CreateSiteRequest) -> Result<Self, Self::Error> {
        let name = properties::name(request.name);
        let time_zone = properties::time_zone(request.time_zone.as_deref().unwrap_or(DEFAULT_TIME_ZONE));
        let grid_limit = request.grid_limit_watts.map(properties::grid_limit).transpose();
        let address = properties::address(request.address.as_deref().unwrap_or_default());
        let groups = properties::groups(request.groups);
        match (name, time_zone, grid_limit, address, groups) {
            (Ok(name), Ok(time_zone), Ok(grid_limit_watts), Ok(address), Ok(groups)) => Ok(Self {
                name,
                time_zone,
                grid_limit_watts,
                address,
                groups,
            }),
            (name, time_zone, grid_limit, address, groups) => {
                let violations = [name.err(), time_zone.err(), grid_limit.err(), address.err()];
                let groups = groups.err().into_iter().flatten();
                Err(violations.into_iter().flatten().chain(groups).collect())
            }
        }
    }
}

pub async fn create(state: &State, new: NewSite, author: &Author) -> Result<Row, CreateError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let created = sqlx::query_as!(
        Row,
        "INSERT INTO ocpp.site (id, name, time_zone, grid_limit_watts, address, groups, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         RETURNING id, name, time_zone, grid_limit_watts, address, groups, created_at, revision",
        Uuid::now_v7(),
        new.name,
        new.time_zone,
        new.grid_limit_watts,
        new.address,
        &new.groups,
        now,
    )
    .fetch_one(&mut *transaction)
    .await?;
    let entry = Entry::new(Action::SiteCreated, now, author);
    audit::record(&mut transaction, properties::properties(entry, &created)).await?;
    transaction.commit().await?;
    Ok(created)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_enough() {
        let new = NewSite::try_from(CreateSiteRequest {
            name: "Harbour".to_owned(),
            ..Default::default()
        });
        assert_eq!(new.unwrap().time_zone, "Etc/UTC");
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = CreateSiteRequest {
            name: " ".to_owned(),
            time_zone: Some("Mars/Olympus".to_owned()),
            grid_limit_watts: Some(0),
            address: Some("a\tb".to_owned()),
            groups: vec![String::new()],
        };
        let violations = NewSite::try_from(wrong).unwrap_err();
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["name", "timeZone", "gridLimitWatts", "address", "groups[0]"]);
    }
}
