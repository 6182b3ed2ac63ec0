//! Sets how a charge point is received from its next BootNotification on.

use service_kit::database;
use service_kit::reason::FieldViolation;
use service_kit::version::{self, IfMatch, Versioned};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{Registration, ReplaceRegistrationRequest};

use super::get;
use super::pending::Steps;
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::boot;
use crate::charge_point::find::{self, FindError};

/// A registration that breaks no rule.
#[derive(Debug)]
pub(super) struct Replacement {
    identity: String,
    status: boot::Registration,
    interval_seconds: Option<i32>,
    steps: Steps,
}

#[derive(Debug, Error)]
pub(super) enum ReplaceError {
    #[error("the charge point has been changed meanwhile")]
    Changed,
    #[error("the registration could not be changed")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Find(#[from] FindError),
}

impl From<ReplaceError> for Status {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Changed => version::changed(),
            ReplaceError::Database(error) => database::failed(&error),
            ReplaceError::Find(error) => error.into(),
        }
    }
}

impl TryFrom<ReplaceRegistrationRequest> for Replacement {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ReplaceRegistrationRequest) -> Result<Self, Self::Error> {
        let registration = request.registration.unwrap_or_default();
        let mut violations = Vec::new();
        let status = boot::Registration::parse(&registration.registration_status);
        if status.is_none() {
            let problem = "must be Accepted, Pending or Rejected";
            violations.push(FieldViolation::new("registrationStatus", problem));
        }
        let interval_seconds = registration.interval_seconds;
        if interval_seconds.is_some_and(|seconds| !(1..=86_400).contains(&seconds)) {
            violations.push(FieldViolation::new("intervalSeconds", "must be between 1 and 86400"));
        }
        match (status, Steps::parse(registration.pending_commands)) {
            (Some(status), Ok(steps)) if violations.is_empty() => Ok(Self {
                identity: request.identity,
                status,
                interval_seconds,
                steps,
            }),
            (_, steps) => {
                violations.extend(steps.err().into_iter().flatten());
                Err(violations)
            }
        }
    }
}

pub(super) async fn replace(
    state: &State,
    replacement: Replacement,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<Registration>, ReplaceError> {
    let mut transaction = database::begin(&state.database).await?;
    let replaced = sqlx::query!(
        "UPDATE ocpp.charge_point
         SET registration_status = $2, boot_interval_seconds = $3, pending_commands = $4::text::json,
             pending_commands_by = $6, revision = nextval('ocpp.revision')
         WHERE identity = $1 AND ($5::bigint[] IS NULL OR revision = ANY($5))",
        replacement.identity,
        replacement.status.as_str(),
        replacement.interval_seconds,
        replacement.steps.to_json(),
        if_match.revisions(),
        author.to_string(),
    )
    .execute(&mut *transaction)
    .await?;
    if replaced.rows_affected() == 0 {
        find::find(&mut transaction, &replacement.identity).await?;
        return Err(ReplaceError::Changed);
    }
    // Payloads may hold what is nobody's business, so the log has the names only.
    let actions: Vec<&str> = replacement.steps.0.iter().map(|step| step.action.as_str()).collect();
    let entry = Entry::new(Action::RegistrationReplaced, state.clock.now(), author)
        .on_charge_point(&replacement.identity)
        .with("registrationStatus", Some(replacement.status.as_str()))
        .with("intervalSeconds", replacement.interval_seconds)
        .with("pendingCommands", Some(actions));
    audit::record(&mut transaction, entry).await?;
    let registration = get::read(&mut transaction, &replacement.identity).await?;
    transaction.commit().await?;
    Ok(registration)
}
