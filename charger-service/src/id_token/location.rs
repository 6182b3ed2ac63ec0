//! Where a token may charge.

use std::collections::HashMap;

use serde::Deserialize;
use service_kit::reason::FieldViolation;
use sqlx::PgConnection;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::IdTokenLocation;

use crate::charge_point::identity;

/// As many places there may be; whoever has more has groups of charge points in mind.
const MOST: usize = 500;

const FIELD: &str = "allowedLocations";

/// A charge point, and perhaps one connector of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Location {
    identity: String,
    connector_id: Option<i32>,
}

impl From<Location> for IdTokenLocation {
    fn from(location: Location) -> Self {
        Self {
            identity: location.identity,
            connector_id: location.connector_id,
        }
    }
}

/// Collects what is wrong with every place before it refuses.
pub(super) fn parse(locations: Vec<IdTokenLocation>) -> Result<Vec<Location>, Vec<FieldViolation>> {
    if locations.len() > MOST {
        let problem = format!("must have at most {MOST} places");
        return Err(vec![FieldViolation::new(FIELD, problem)]);
    }
    let mut violations = Vec::new();
    for (index, location) in locations.iter().enumerate() {
        let length = location.identity.chars().count();
        if !(1..=identity::MAX_LENGTH).contains(&length) || location.identity.contains('\0') {
            violations.push(FieldViolation::new(
                format!("{FIELD}[{index}].identity"),
                "must have 1 to 48 characters, and no null character",
            ));
        }
        if location.connector_id.is_some_and(|connector| connector < 1) {
            let problem = "must be 1 or more";
            violations.push(FieldViolation::new(format!("{FIELD}[{index}].connectorId"), problem));
        }
    }
    if !violations.is_empty() {
        return Err(violations);
    }
    let locations = locations.into_iter().map(|location| Location {
        identity: location.identity,
        connector_id: location.connector_id,
    });
    Ok(locations.collect())
}

/// Why places were not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplaceError {
    #[error("some are of no registered charge point")]
    Unknown(Vec<FieldViolation>),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// Has a token charge at these places only; anywhere where there are none.
pub(super) async fn replace(
    connection: &mut PgConnection,
    id_token: Uuid,
    locations: &[Location],
) -> Result<(), ReplaceError> {
    sqlx::query!("DELETE FROM ocpp.id_token_location WHERE id_token_id = $1", id_token)
        .execute(&mut *connection)
        .await?;
    if locations.is_empty() {
        return Ok(());
    }
    let charge_points = charge_points(connection, locations).await?;
    let (mut ids, mut connectors, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (index, location) in locations.iter().enumerate() {
        match charge_points.get(&location.identity) {
            Some(id) => {
                ids.push(*id);
                connectors.push(location.connector_id);
            }
            None => unknown.push(FieldViolation::new(field(index, "identity"), UNKNOWN)),
        }
    }
    if !unknown.is_empty() {
        return Err(ReplaceError::Unknown(unknown));
    }
    sqlx::query!(
        "INSERT INTO ocpp.id_token_location (id_token_id, charge_point_id, connector_id)
         SELECT $1, charge_point_id, connector_id
         FROM unnest($2::uuid[], $3::integer[]) AS place (charge_point_id, connector_id)
         ON CONFLICT DO NOTHING",
        id_token,
        &ids,
        &connectors as &[Option<i32>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) const UNKNOWN: &str = "is of no registered charge point";

/// The name of a member of a place.
pub(super) fn field(index: usize, member: &str) -> String {
    format!("{FIELD}[{index}].{member}")
}

/// Places of several tokens, column by column.
struct Columns<T> {
    of: Vec<T>,
    indices: Vec<i32>,
    identities: Vec<String>,
    connectors: Vec<Option<i32>>,
}

impl<T: Copy> Columns<T> {
    fn gather<'a>(places: impl Iterator<Item = (T, &'a [Location])>) -> Self {
        let mut columns = Self {
            of: Vec::new(),
            indices: Vec::new(),
            identities: Vec::new(),
            connectors: Vec::new(),
        };
        for (of, locations) in places {
            for (index, location) in (0..).zip(locations) {
                columns.of.push(of);
                columns.indices.push(index);
                columns.identities.push(location.identity.clone());
                columns.connectors.push(location.connector_id);
            }
        }
        columns
    }
}

/// Those of no registered charge point, of tokens that are known by a number: that, and which of its places it is.
pub(super) async fn unknown<'a>(
    connection: &mut PgConnection,
    places: impl Iterator<Item = (i32, &'a [Location])>,
) -> Result<Vec<(i32, usize)>, sqlx::Error> {
    let columns = Columns::gather(places);
    let unknown = sqlx::query!(
        r#"SELECT number AS "number!", index AS "index!"
           FROM unnest($1::integer[], $2::integer[], $3::text[]) AS place (number, index, identity)
           WHERE NOT EXISTS (SELECT FROM ocpp.charge_point WHERE charge_point.identity = place.identity)
           ORDER BY number, index"#,
        &columns.of,
        &columns.indices,
        &columns.identities,
    )
    .fetch_all(connection)
    .await?;
    let unknown = unknown.into_iter();
    Ok(unknown
        .map(|place| (place.number, usize::try_from(place.index).unwrap_or_default()))
        .collect())
}

/// Has new tokens charge at these places only; those that have none, anywhere.
pub(super) async fn store<'a>(
    connection: &mut PgConnection,
    places: impl Iterator<Item = (Uuid, &'a [Location])>,
) -> Result<(), sqlx::Error> {
    let columns = Columns::gather(places);
    sqlx::query!(
        "INSERT INTO ocpp.id_token_location (id_token_id, charge_point_id, connector_id)
         SELECT token, charge_point.id, connector
         FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS place (token, identity, connector)
         JOIN ocpp.charge_point ON charge_point.identity = place.identity
         ON CONFLICT DO NOTHING",
        &columns.of,
        &columns.identities,
        &columns.connectors as &[Option<i32>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn charge_points(
    connection: &mut PgConnection,
    locations: &[Location],
) -> Result<HashMap<String, Uuid>, sqlx::Error> {
    let identities: Vec<_> = locations.iter().map(|location| location.identity.clone()).collect();
    let rows = sqlx::query!(
        "SELECT identity, id FROM ocpp.charge_point WHERE identity = ANY($1)",
        &identities
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.identity, row.id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(locations: &[(&str, Option<i32>)]) -> Vec<String> {
        let locations = locations.iter().map(|(identity, connector_id)| IdTokenLocation {
            identity: (*identity).to_owned(),
            connector_id: *connector_id,
        });
        match parse(locations.collect()) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn every_place_that_is_wrong_is_named_at_once() {
        assert_eq!(
            fields(&[("CP1", None), ("", Some(0)), ("CP1", Some(2)), ("a\0", None)]),
            [
                "allowedLocations[1].identity",
                "allowedLocations[1].connectorId",
                "allowedLocations[3].identity"
            ]
        );
    }

    #[test]
    fn there_may_be_five_hundred() {
        assert_eq!(fields(&[("CP1", None); 500]), [""; 0]);
        assert_eq!(fields(&[("CP1", None); 501]), ["allowedLocations"]);
    }
}
