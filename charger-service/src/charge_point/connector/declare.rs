//! Declares what a connector is.

use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use service_kit::version::{self, IfMatch, Versioned};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{Connector, UpdateConnectorRequest};

use super::{GetError, properties, read};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::charge_point::find::{FindError, find};

/// The fields that can be changed.
const FIELDS: [&str; 5] = ["code", "standard", "max_power_watts", "power_type", "evse_id"];

/// A change that breaks no rule. What it does not have stays.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    identity: String,
    connector_id: i32,
    /// Inside: none takes it away.
    code: Option<Option<String>>,
    standard: Option<Option<&'static str>>,
    max_power_watts: Option<Option<i32>>,
    power_type: Option<Option<&'static str>>,
    evse_id: Option<Option<i32>>,
}

#[derive(Debug, Error)]
pub enum DeclareError {
    #[error("the code is another connector's")]
    CodeExists,
    #[error("the connector has been changed meanwhile")]
    Changed,
    #[error("the connector could not be declared")]
    Database(#[source] sqlx::Error),
    #[error(transparent)]
    ChargePoint(#[from] FindError),
    #[error(transparent)]
    Get(#[from] GetError),
}

impl From<sqlx::Error> for DeclareError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("connector_declaration_code_unique") => Self::CodeExists,
            _ => Self::Database(error),
        }
    }
}

impl From<DeclareError> for Status {
    fn from(error: DeclareError) -> Self {
        match error {
            DeclareError::CodeExists => {
                Reason::ConnectorCodeExists.status("Another connector has this code, perhaps in other letter case")
            }
            DeclareError::Changed => version::changed(),
            DeclareError::Database(error) => database::failed(&error),
            DeclareError::ChargePoint(error) => error.into(),
            DeclareError::Get(error) => error.into(),
        }
    }
}

impl TryFrom<UpdateConnectorRequest> for Change {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses, in those too that the mask does not name.
    fn try_from(request: UpdateConnectorRequest) -> Result<Self, Self::Error> {
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
        let changes_code = is_changed("code", request.code.is_some());
        let changes_standard = is_changed("standard", request.standard.is_some());
        let changes_max_power = is_changed("max_power_watts", request.max_power_watts.is_some());
        let changes_power_type = is_changed("power_type", request.power_type.is_some());
        let changes_evse = is_changed("evse_id", request.evse_id.is_some());
        let mut note = |violation| violations.push(violation);
        if let Err(violation) = properties::number("connectorId", request.connector_id) {
            note(violation);
        }
        let code = request
            .code
            .and_then(|code| properties::code(code).map_err(&mut note).ok());
        let standard = request
            .standard
            .and_then(|name| properties::standard(&name).map_err(&mut note).ok());
        let max_power_watts = request
            .max_power_watts
            .and_then(|watts| properties::max_power(watts).map_err(&mut note).ok());
        let power_type = request
            .power_type
            .and_then(|name| properties::power_type(&name).map_err(&mut note).ok());
        let evse_id = request
            .evse_id
            .and_then(|number| properties::number("evseId", number).map_err(&mut note).ok());
        if !violations.is_empty() {
            return Err(violations);
        }
        Ok(Self {
            identity: request.identity,
            connector_id: request.connector_id,
            code: changes_code.then_some(code),
            standard: changes_standard.then_some(standard),
            max_power_watts: changes_max_power.then_some(max_power_watts),
            power_type: changes_power_type.then_some(power_type),
            evse_id: changes_evse.then_some(evse_id),
        })
    }
}

/// Declares it in the version that the caller has seen, and returns it as it is then. The charge point need not have told of it.
pub async fn declare(
    state: &State,
    change: Change,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<Connector>, DeclareError> {
    let mut transaction = database::begin(&state.database).await?;
    let charge_point = find(&mut transaction, &change.identity).await?;
    if !store(&mut transaction, charge_point, &change, if_match).await? {
        return Err(DeclareError::Changed);
    }
    let declared = read(&mut transaction, charge_point, change.connector_id).await?;
    let entry = Entry::new(Action::ConnectorDeclared, state.clock.now(), author).on_charge_point(&change.identity);
    audit::record(&mut transaction, described(entry, &declared.resource)).await?;
    transaction.commit().await?;
    Ok(declared)
}

/// Whether it was in a version that may be changed. One that nobody has declared is in version 0.
async fn store(
    connection: &mut PgConnection,
    charge_point: Uuid,
    change: &Change,
    if_match: &IfMatch,
) -> Result<bool, sqlx::Error> {
    let stored = sqlx::query!(
        "INSERT INTO ocpp.connector_declaration AS known
             (charge_point_id, connector_id, code, standard, max_power_watts, power_type, evse_id)
         SELECT $1::uuid, $2::integer, $4::text, $6::text, $8::integer, $10::text, $12::integer
         WHERE $13::bigint[] IS NULL OR 0 = ANY($13) OR EXISTS (
             SELECT FROM ocpp.connector_declaration WHERE charge_point_id = $1 AND connector_id = $2)
         ON CONFLICT (charge_point_id, connector_id) DO UPDATE
         SET code = CASE WHEN $3 THEN $4 ELSE known.code END,
             standard = CASE WHEN $5 THEN $6 ELSE known.standard END,
             max_power_watts = CASE WHEN $7 THEN $8 ELSE known.max_power_watts END,
             power_type = CASE WHEN $9 THEN $10 ELSE known.power_type END,
             evse_id = CASE WHEN $11 THEN $12 ELSE known.evse_id END,
             revision = nextval('ocpp.revision')
         WHERE $13 IS NULL OR known.revision = ANY($13)",
        charge_point,
        change.connector_id,
        change.code.is_some(),
        change.code.as_ref().and_then(Option::as_deref),
        change.standard.is_some(),
        change.standard.flatten(),
        change.max_power_watts.is_some(),
        change.max_power_watts.flatten(),
        change.power_type.is_some(),
        change.power_type.flatten(),
        change.evse_id.is_some(),
        change.evse_id.flatten(),
        if_match.revisions(),
    )
    .execute(connection)
    .await?;
    Ok(stored.rows_affected() > 0)
}

/// What it is from then on, for the audit log.
fn described<'a>(entry: Entry<'a>, connector: &Connector) -> Entry<'a> {
    entry
        .with("connectorId", Some(connector.connector_id))
        .with("code", connector.code.as_deref())
        .with("standard", connector.standard.as_deref())
        .with("maxPowerWatts", connector.max_power_watts)
        .with("powerType", connector.power_type.as_deref())
        .with("evseId", connector.evse_id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn masked(paths: &[&str], request: UpdateConnectorRequest) -> Result<Change, Vec<String>> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateConnectorRequest {
            update_mask: Some(prost_types::FieldMask { paths }),
            ..request
        };
        Change::try_from(request)
            .map_err(|violations| violations.into_iter().map(|violation| violation.field).collect())
    }

    fn numbered(connector_id: i32) -> UpdateConnectorRequest {
        UpdateConnectorRequest {
            connector_id,
            ..Default::default()
        }
    }

    #[test]
    fn without_a_mask_what_is_given_is_changed_and_what_a_mask_names_alone_is_cleared() {
        let request = UpdateConnectorRequest {
            code: Some("ABC".to_owned()),
            ..numbered(1)
        };
        let change = masked(&[], request).unwrap();
        assert_eq!(change.code, Some(Some("ABC".to_owned())));
        assert!(change.standard.is_none() && change.max_power_watts.is_none());
        assert!(change.power_type.is_none() && change.evse_id.is_none());
        let change = masked(&FIELDS, numbered(1)).unwrap();
        assert_eq!((change.code, change.standard), (Some(None), Some(None)));
        assert_eq!((change.max_power_watts, change.evse_id), (Some(None), Some(None)));
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = UpdateConnectorRequest {
            code: Some("a".to_owned()),
            standard: Some("Type 2".to_owned()),
            max_power_watts: Some(0),
            power_type: Some("AC".to_owned()),
            evse_id: Some(1001),
            ..numbered(0)
        };
        let fields = masked(&["identity"], wrong).unwrap_err();
        assert_eq!(
            fields,
            [
                "updateMask",
                "connectorId",
                "code",
                "standard",
                "maxPowerWatts",
                "powerType",
                "evseId"
            ]
        );
    }
}
