//! Registers an id token.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::CreateIdTokenRequest;

use super::Row;
use crate::State;
use crate::audit::{self, Action, Author, Entry};

/// As long as a token may be in OCPP 2.x; 1.6 has room for 20 characters.
const LONGEST: usize = 36;

/// The kinds that all versions of OCPP know.
const TYPES: [&str; 7] = [
    "ISO14443",
    "ISO15693",
    "eMAID",
    "KeyCode",
    "Local",
    "MacAddress",
    "Central",
];

/// An id token that breaks no rule.
#[derive(Debug)]
pub struct NewIdToken {
    value: String,
    r#type: &'static str,
    group_id: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    blocked: bool,
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error("the id token is registered")]
    Exists,
    #[error("the id token could not be stored")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("id_token_value_unique") => Self::Exists,
            _ => Self::Database(error),
        }
    }
}

impl From<CreateError> for Status {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Exists => {
                Reason::IdTokenExists.status("This id token is registered, perhaps in other letter case")
            }
            CreateError::Database(error) => database::failed(&error),
        }
    }
}

impl TryFrom<CreateIdTokenRequest> for NewIdToken {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: CreateIdTokenRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let mut note = |field: &str, problem: &str| violations.push(FieldViolation::new(field, problem));
        if !is_token(&request.id_token) {
            note("idToken", NOT_A_TOKEN);
        }
        let r#type = match request.r#type.as_deref() {
            None => Some(DEFAULT_TYPE),
            Some(told) => kind(told),
        };
        if r#type.is_none() {
            note("type", NOT_A_TYPE);
        }
        if request.group_id.as_deref().is_some_and(|group| !is_token(group)) {
            note("groupId", NOT_A_TOKEN);
        }
        let expires_at = request.expires_at.map(time);
        if expires_at == Some(None) {
            note("expiresAt", NOT_A_TIME);
        }
        match r#type {
            Some(r#type) if violations.is_empty() => Ok(Self {
                value: request.id_token,
                r#type,
                group_id: request.group_id,
                expires_at: expires_at.flatten(),
                blocked: request.blocked,
            }),
            _ => Err(violations),
        }
    }
}

/// A card, where nobody says what it is.
pub(super) const DEFAULT_TYPE: &str = TYPES[0];

pub(super) const NOT_A_TOKEN: &str = "must have 1 to 36 printable characters, and no space at either end";
pub(super) const NOT_A_TYPE: &str = "must be one of ISO14443, ISO15693, eMAID, KeyCode, Local, MacAddress and Central";
pub(super) const NOT_A_TIME: &str = "is not a time that can be kept";

pub(super) fn kind(name: &str) -> Option<&'static str> {
    TYPES.into_iter().find(|known| *known == name)
}

pub(super) fn is_token(text: &str) -> bool {
    (1..=LONGEST).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
}

/// Times that protobuf can write have years of four digits.
pub(super) fn time(time: prost_types::Timestamp) -> Option<DateTime<Utc>> {
    let years = -62_135_596_800..=253_402_300_799;
    let nanos = u32::try_from(time.nanos).ok()?;
    DateTime::from_timestamp(time.seconds, nanos).filter(|_| years.contains(&time.seconds))
}

pub async fn create(state: &State, new: NewIdToken, author: &Author) -> Result<Row, CreateError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let created = sqlx::query_as!(
        Row,
        "INSERT INTO ocpp.id_token (id, value, type, group_id, expires_at, blocked, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         RETURNING value, type, group_id, expires_at, blocked, created_at, revision",
        Uuid::now_v7(),
        new.value,
        new.r#type,
        new.group_id,
        new.expires_at,
        new.blocked,
        now,
    )
    .fetch_one(&mut *transaction)
    .await?;
    let entry = Entry::new(Action::IdTokenCreated, now, author).on_id_token(&created.value);
    audit::record(&mut transaction, properties(entry, &created)).await?;
    transaction.commit().await?;
    Ok(created)
}

/// What a token is from then on, as far as it decides who may charge.
pub(super) fn properties<'a>(entry: Entry<'a>, row: &Row) -> Entry<'a> {
    entry
        .with("type", Some(row.r#type.as_str()))
        .with("groupId", row.group_id.as_deref())
        .with("expiresAt", row.expires_at.map(|time| time.to_rfc3339()))
        .with("blocked", Some(row.blocked))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(id_token: &str) -> CreateIdTokenRequest {
        CreateIdTokenRequest {
            id_token: id_token.to_owned(),
            ..CreateIdTokenRequest::default()
        }
    }

    fn fields(request: CreateIdTokenRequest) -> Vec<String> {
        match NewIdToken::try_from(request) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn a_value_is_enough_and_makes_a_card() {
        assert_eq!(NewIdToken::try_from(request("04A2B3C4")).unwrap().r#type, "ISO14443");
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = CreateIdTokenRequest {
            id_token: "x".repeat(37),
            r#type: Some("Card".to_owned()),
            group_id: Some(String::new()),
            expires_at: Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            blocked: false,
        };
        assert_eq!(fields(wrong), ["idToken", "type", "groupId", "expiresAt"]);
        assert_eq!(fields(request("")), ["idToken"]);
    }
}
