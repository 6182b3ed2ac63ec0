//! Changes what operators decide about a charge point.

use service_kit::database;
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{ChargePoint, UpdateChargePointRequest};

use super::find::{self, FindError};
use super::{create, list};
use crate::boot::Registration;
use service_kit::version::{self, IfMatch, Versioned};

/// A change that breaks no rule. What it does not have stays.
#[derive(Debug)]
pub struct Change {
    identity: String,
    display_name: Option<String>,
    registration: Option<Registration>,
}

#[derive(Debug, Error)]
pub enum UpdateError {
    #[error("the charge point has been changed meanwhile")]
    Changed,
    #[error("the charge point could not be changed")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Find(#[from] FindError),
}

impl From<UpdateError> for Status {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Changed => version::changed(),
            UpdateError::Database(error) => database::failed(&error),
            UpdateError::Find(error) => error.into(),
        }
    }
}

impl TryFrom<UpdateChargePointRequest> for Change {
    type Error = Vec<FieldViolation>;

    fn try_from(request: UpdateChargePointRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let mut note = |field: &str, problem: String| violations.push(FieldViolation::new(field, problem));
        let display_name = request.display_name.and_then(|name| match create::display_name(&name) {
            Ok("") => {
                note("displayName", "must not be empty".to_owned());
                None
            }
            Ok(name) => Some(name.to_owned()),
            Err(problem) => {
                note("displayName", problem);
                None
            }
        });
        let registration = request.registration_status.and_then(|status| {
            create::registration(&status)
                .map_err(|problem| note("registrationStatus", problem.to_owned()))
                .ok()
        });
        if violations.is_empty() {
            Ok(Self {
                identity: request.identity,
                display_name,
                registration,
            })
        } else {
            Err(violations)
        }
    }
}

/// Changes it in the version that the caller has seen, and returns it as it is then.
pub async fn update(
    database: &PgPool,
    change: Change,
    if_match: &IfMatch,
) -> Result<Versioned<ChargePoint>, UpdateError> {
    let mut transaction = database::begin(database).await?;
    let updated = sqlx::query!(
        "UPDATE ocpp.charge_point
         SET display_name = coalesce($2, display_name), registration_status = coalesce($3, registration_status),
             revision = nextval('ocpp.revision')
         WHERE identity = $1 AND ($4::bigint[] IS NULL OR revision = ANY($4))",
        change.identity,
        change.display_name,
        change.registration.map(Registration::as_str),
        if_match.revisions(),
    )
    .execute(&mut *transaction)
    .await?;
    if updated.rows_affected() == 0 {
        find::find(&mut transaction, &change.identity).await?;
        return Err(UpdateError::Changed);
    }
    let updated = list::read(&mut transaction, &change.identity).await?;
    transaction.commit().await?;
    Ok(updated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = UpdateChargePointRequest {
            identity: "CP1".to_owned(),
            display_name: Some(" ".to_owned()),
            registration_status: Some(String::new()),
        };
        let violations = Change::try_from(wrong).expect_err("both are wrong");
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["displayName", "registrationStatus"]);
    }
}
