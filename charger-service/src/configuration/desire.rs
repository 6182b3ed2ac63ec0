//! An operator states what a configuration key should be. The wish stands whatever the charge point makes of it, until
//! it is withdrawn or another is stated.

use chrono::{DateTime, TimeDelta, Utc};
use ocpp::v1_6::Action as CallAction;
use serde_json::json;
use service_kit::database;
use service_kit::reason::{self, FieldViolation};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ConfigurationKey, DesireConfigurationRequest};

use super::change::Answer;
use super::list;
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::charge_point::find::{InUseError, in_use};
use crate::command::ledger::ending;
use crate::command::several::{self, Several};
use crate::redact;

/// As many characters as OCPP has room for.
const LONGEST_KEY: usize = 50;
const LONGEST_VALUE: usize = 500;

/// Keys that may be stated for one charge point. A charge point has about fifty.
const MOST: i64 = 500;

/// A command waits for its charge point as long as the wish stands.
const WAITS: TimeDelta = TimeDelta::days(3650);

/// A wish that breaks no rule.
#[derive(Debug)]
pub struct Desire {
    identity: String,
    key: String,
    value: String,
}

#[derive(Debug, Error)]
pub enum DesireError {
    #[error(transparent)]
    ChargePoint(#[from] InUseError),
    #[error("as many wishes as may be are stated")]
    TooMany,
    #[error("the wish could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<DesireError> for Status {
    fn from(error: DesireError) -> Self {
        match error {
            DesireError::ChargePoint(error) => error.into(),
            DesireError::TooMany => {
                let problem = format!("is one more than the {MOST} that may be stated for a charge point");
                reason::invalid(vec![FieldViolation::new("key", problem)])
            }
            DesireError::Database(error) => database::failed(&error),
        }
    }
}

impl TryFrom<DesireConfigurationRequest> for Desire {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: DesireConfigurationRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let mut note = |field: &str, problem: &str| violations.push(FieldViolation::new(field, problem));
        let key = &request.key;
        if !(1..=LONGEST_KEY).contains(&key.chars().count()) || key.chars().any(char::is_control) || key.trim() != key {
            note(
                "key",
                "must have 1 to 50 printable characters, and no space at either end",
            );
        }
        // Credentials are no configuration that anybody may read.
        if redact::is_secret(key) {
            note("key", "is a password; it is changed by POST …/rotate-password");
        }
        match &request.value {
            None => note("value", "is required"),
            Some(value) if value.chars().count() > LONGEST_VALUE || value.contains('\0') => {
                note("value", "must have at most 500 characters, and no null character");
            }
            Some(_) => {}
        }
        match request.value {
            Some(value) if violations.is_empty() => Ok(Self {
                identity: request.identity,
                key: request.key,
                value,
            }),
            _ => Err(violations),
        }
    }
}

/// Queues the change. One that is on its way with this very value is enough; one with another value that has not left
/// stays behind.
pub async fn state(state: &State, desire: Desire, author: &Author) -> Result<ConfigurationKey, DesireError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let charge_point = in_use(&mut transaction, &desire.identity).await?;
    let before = hold(&mut transaction, charge_point, &desire.key).await?;
    if is_one_too_many(&mut transaction, charge_point, &desire.key).await? {
        return Err(DesireError::TooMany);
    }
    if !before.is_under_way || before.value.as_ref() != Some(&desire.value) {
        let queued: Vec<_> = before.command.into_iter().collect();
        ending::withdraw(&mut transaction, &queued, now).await?;
        queue(&mut transaction, charge_point, &desire, author, now).await?;
        // The value, which may be nobody's business, stays with the key.
        let entry = Entry::new(Action::ConfigurationDesired, now, author)
            .on_charge_point(&desire.identity)
            .with("key", Some(desire.key.as_str()));
        audit::record(&mut transaction, entry).await?;
    }
    let key = list::find_key(&mut transaction, charge_point, &desire.key).await?;
    transaction.commit().await?;
    Ok(key.ok_or(sqlx::Error::RowNotFound)?)
}

struct Before {
    value: Option<String>,
    command: Option<Uuid>,
    is_under_way: bool,
}

/// What was stated before. Until the transaction is over nobody else states anything; the key is there from now on.
async fn hold(connection: &mut PgConnection, charge_point: Uuid, key: &str) -> Result<Before, sqlx::Error> {
    sqlx::query_as!(
        Before,
        r#"INSERT INTO ocpp.configuration_key AS stored (charge_point_id, key, known) VALUES ($1, $2, true)
           ON CONFLICT (charge_point_id, lower(key)) DO UPDATE SET known = stored.known
           RETURNING desired_value AS value, desired_command_id AS command,
               coalesce(desired_state = 'pending', false) AS "is_under_way!""#,
        charge_point,
        key,
    )
    .fetch_one(connection)
    .await
}

/// Wishes for other keys count.
async fn is_one_too_many(connection: &mut PgConnection, charge_point: Uuid, key: &str) -> Result<bool, sqlx::Error> {
    let others = sqlx::query_scalar!(
        r#"SELECT count(*) AS "others!" FROM ocpp.configuration_key
           WHERE charge_point_id = $1 AND desired_at IS NOT NULL AND lower(key) <> lower($2 COLLATE "C")"#,
        charge_point,
        key,
    )
    .fetch_one(connection)
    .await?;
    Ok(others >= MOST)
}

async fn queue(
    connection: &mut PgConnection,
    charge_point: Uuid,
    desire: &Desire,
    author: &Author,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let command = Several {
        id: Uuid::now_v7(),
        charge_point,
        identity: &desire.identity,
        action: CallAction::ChangeConfiguration.as_str(),
        payload: json!({ "key": desire.key, "value": desire.value }).to_string(),
    };
    let id = command.id;
    several::of_request(connection, &[command], author, now, now + WAITS).await?;
    sqlx::query!(
        r#"UPDATE ocpp.configuration_key
           SET desired_value = $3, desired_status = NULL, desired_at = $4, desired_state = 'pending', desired_command_id = $5
           WHERE charge_point_id = $1 AND lower(key) = lower($2 COLLATE "C")"#,
        charge_point,
        desire.key,
        desire.value,
        now,
        id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What a charge point answers to a command of ours is its answer to the wish.
pub async fn answered(connection: &mut PgConnection, command: Uuid, answer: Answer) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.configuration_key SET desired_state = $2, desired_status = $3 WHERE desired_command_id = $1",
        command,
        state_of(answer),
        answer.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn state_of(answer: Answer) -> &'static str {
    match answer {
        Answer::Accepted => "accepted",
        Answer::RebootRequired => "rebootRequired",
        Answer::Rejected => "rejected",
        Answer::NotSupported => "notSupported",
    }
}

/// Commands have their outcomes; where there was no answer that says what the charge point did, nobody knows.
pub async fn ended(connection: &mut PgConnection, commands: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.configuration_key SET desired_state = 'failed'
         WHERE desired_command_id = ANY($1) AND desired_state = 'pending'",
        commands,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(key: &str, value: Option<&str>) -> Vec<String> {
        let request = DesireConfigurationRequest {
            identity: "CP1".to_owned(),
            key: key.to_owned(),
            value: value.map(str::to_owned),
        };
        match Desire::try_from(request) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        assert_eq!(wrong("HeartbeatInterval", Some("")), [""; 0]);
        assert_eq!(wrong(&"k".repeat(50), Some(&"v".repeat(500))), [""; 0]);
        assert_eq!(wrong(&"k".repeat(51), Some(&"v".repeat(501))), ["key", "value"]);
        assert_eq!(wrong("a\nb", None), ["key", "value"]);
        assert_eq!(wrong(" a", Some("\0")), ["key", "value"]);
    }

    #[test]
    fn a_password_is_no_configuration_in_any_letter_case() {
        assert_eq!(wrong("authorizationKEY", Some("secret")), ["key"]);
    }
}
