//! Registers a site.

use chrono::{DateTime, Utc};
use serde_json::json;
use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use sqlx::PgConnection;
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
    let created = store(&mut transaction, std::slice::from_ref(&new), now).await?.pop();
    let created = created.ok_or(sqlx::Error::RowNotFound)?;
    let entry = Entry::new(Action::SiteCreated, now, author);
    audit::record(&mut transaction, properties::properties(entry, &created)).await?;
    transaction.commit().await?;
    Ok(created)
}

/// Stores them by one statement, and returns them in their order.
pub(super) async fn store(
    connection: &mut PgConnection,
    new: &[NewSite],
    now: DateTime<Utc>,
) -> Result<Vec<Row>, sqlx::Error> {
    // Ids that are made one after the other are in that order.
    let ids: Vec<_> = new.iter().map(|_| Uuid::now_v7()).collect();
    let names: Vec<_> = new.iter().map(|new| new.name.as_str()).collect();
    let time_zones: Vec<_> = new.iter().map(|new| new.time_zone.as_str()).collect();
    let grid_limits: Vec<_> = new.iter().map(|new| new.grid_limit_watts).collect();
    let addresses: Vec<_> = new.iter().map(|new| new.address.as_deref()).collect();
    // Lists of several lengths go into no array of arrays.
    let groups: Vec<_> = new.iter().map(|new| json!(new.groups)).collect();
    sqlx::query_as!(
        Row,
        r#"WITH stored AS (
             INSERT INTO ocpp.site (id, name, time_zone, grid_limit_watts, address, groups, created_at)
             SELECT id, name, time_zone, grid_limit_watts, address, ARRAY(SELECT jsonb_array_elements_text(groups)), $7
             FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::jsonb[])
                 AS new (id, name, time_zone, grid_limit_watts, address, groups)
             RETURNING id, name, time_zone, grid_limit_watts, address, groups, created_at, revision)
         SELECT id AS "id!", name AS "name!", time_zone AS "time_zone!", grid_limit_watts, address, groups AS "groups!",
             created_at AS "created_at!", revision AS "revision!"
         FROM stored ORDER BY id"#,
        &ids,
        &names as &[&str],
        &time_zones as &[&str],
        &grid_limits as &[Option<i32>],
        &addresses as &[Option<&str>],
        &groups as &[serde_json::Value],
        now,
    )
    .fetch_all(connection)
    .await
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
