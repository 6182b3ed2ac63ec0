//! Registers an id token.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use sqlx::PgConnection;
use sqlx::types::Json;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::CreateIdTokenRequest;

use super::list::{self, GetError};
use super::location::{self, Location, ReplaceError};
use super::owner::{self, OwnerError};
use super::{Row, key_code};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::local_list::due;

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
    max_concurrent_transactions: Option<i32>,
    pub(super) allowed_locations: Vec<Location>,
    pub(super) account_id: Option<Uuid>,
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error("the id token is registered")]
    Exists,
    #[error("the request names what is not there")]
    Invalid(Vec<FieldViolation>),
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

impl From<ReplaceError> for CreateError {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Unknown(violations) => Self::Invalid(violations),
            ReplaceError::Database(error) => Self::Database(error),
        }
    }
}

impl From<OwnerError> for CreateError {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::Deleted => Self::Invalid(vec![FieldViolation::new("accountId", owner::DELETED)]),
            OwnerError::Database(error) => Self::Database(error),
        }
    }
}

impl From<GetError> for CreateError {
    fn from(error: GetError) -> Self {
        match error {
            // It was stored in the same transaction.
            GetError::NotFound => Self::Database(sqlx::Error::RowNotFound),
            GetError::Database(error) => Self::Database(error),
        }
    }
}

impl From<CreateError> for Status {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Exists => {
                Reason::IdTokenExists.status("This id token is registered, perhaps in other letter case")
            }
            CreateError::Invalid(violations) => reason::invalid(violations),
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
        if !is_limit(request.max_concurrent_transactions) {
            note("maxConcurrentTransactions", NOT_A_LIMIT);
        }
        let account_id = request.account_id.as_deref().map(Uuid::try_parse);
        if let Some(Err(_)) = account_id {
            note("accountId", NOT_A_UUID);
        }
        let allowed_locations = location::parse(request.allowed_locations);
        match (r#type, allowed_locations) {
            (Some(r#type), Ok(allowed_locations)) if violations.is_empty() => Ok(Self {
                value: request.id_token,
                r#type,
                group_id: request.group_id,
                expires_at: expires_at.flatten(),
                blocked: request.blocked,
                max_concurrent_transactions: request.max_concurrent_transactions,
                allowed_locations,
                account_id: account_id.and_then(Result::ok),
            }),
            (_, allowed_locations) => {
                violations.extend(allowed_locations.err().into_iter().flatten());
                Err(violations)
            }
        }
    }
}

/// A card, where nobody says what it is.
pub(super) const DEFAULT_TYPE: &str = TYPES[0];

pub(super) const NOT_A_TOKEN: &str = "must have 1 to 36 printable characters, and no space at either end";
pub(super) const NOT_A_TYPE: &str = "must be one of ISO14443, ISO15693, eMAID, KeyCode, Local, MacAddress and Central";
pub(super) const NOT_A_TIME: &str = "is not a time that can be kept";
pub(super) const NOT_A_UUID: &str = "is not a UUID";
pub(super) const NOT_A_LIMIT: &str = "must be between 1 and 10000";

pub(super) fn is_limit(most: Option<i32>) -> bool {
    most.is_none_or(|most| (1..=10_000).contains(&most))
}

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
    let id = Uuid::now_v7();
    if let Some(account) = new.account_id {
        owner::check_exists(&mut transaction, account).await?;
    }
    let new = [(id, new)];
    store(&mut transaction, &new, now).await?;
    let [(_, new)] = new;
    location::replace(&mut transaction, id, &new.allowed_locations).await?;
    let created = list::read(&mut transaction, &new.value).await?;
    let shown = key_code::shown(&state.passwords, &created.value, [created.r#type.as_str()]);
    let entry = Entry::new(Action::IdTokenCreated, now, author).on_id_token(&shown);
    audit::record(&mut transaction, properties(entry, &created)).await?;
    transaction.commit().await?;
    Ok(created)
}

impl NewIdToken {
    /// As it is when it is stored. Its revision is nobody's to see.
    pub(super) fn into_row(self, now: DateTime<Utc>) -> Row {
        Row {
            value: self.value,
            r#type: self.r#type.to_owned(),
            group_id: self.group_id,
            expires_at: self.expires_at,
            blocked: self.blocked,
            max_concurrent_transactions: self.max_concurrent_transactions,
            allowed_locations: Json(self.allowed_locations),
            account_id: self.account_id,
            created_at: now,
            revision: 0,
        }
    }
}

/// Stores them by one statement, without the places where they may charge.
pub(super) async fn store(
    connection: &mut PgConnection,
    new: &[(Uuid, NewIdToken)],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = new.iter().map(|(id, _)| *id).collect();
    let values: Vec<_> = new.iter().map(|(_, new)| new.value.as_str()).collect();
    let types: Vec<_> = new.iter().map(|(_, new)| new.r#type).collect();
    let groups: Vec<_> = new.iter().map(|(_, new)| new.group_id.as_deref()).collect();
    let expiries: Vec<_> = new.iter().map(|(_, new)| new.expires_at).collect();
    let blocked: Vec<_> = new.iter().map(|(_, new)| new.blocked).collect();
    let limits: Vec<_> = new.iter().map(|(_, new)| new.max_concurrent_transactions).collect();
    let accounts: Vec<_> = new.iter().map(|(_, new)| new.account_id).collect();
    sqlx::query!(
        "INSERT INTO ocpp.id_token (id, value, type, group_id, expires_at, blocked, max_concurrent_transactions, account_id,
             created_at)
         SELECT new.*, $9 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::boolean[],
             $7::integer[], $8::uuid[]) AS new",
        &ids,
        &values as &[&str],
        &types as &[&str],
        &groups as &[Option<&str>],
        &expiries as &[Option<DateTime<Utc>>],
        &blocked,
        &limits as &[Option<i32>],
        &accounts as &[Option<Uuid>],
        now,
    )
    .execute(&mut *connection)
    .await?;
    due::token_changed(connection, &values).await?;
    owner::begin(connection, &values, &accounts, now).await
}

/// What a token is from then on, as far as it decides who may charge.
pub(super) fn properties<'a>(entry: Entry<'a>, row: &Row) -> Entry<'a> {
    entry
        .with("type", Some(row.r#type.as_str()))
        .with("groupId", row.group_id.as_deref())
        .with("expiresAt", row.expires_at.map(|time| time.to_rfc3339()))
        .with("blocked", Some(row.blocked))
        .with("maxConcurrentTransactions", row.max_concurrent_transactions)
        .with("accountId", row.account_id.map(|id| id.to_string()))
        // Which they are can be long; that there are some tells why a token is refused elsewhere.
        .with(
            "allowedLocations",
            Some(row.allowed_locations.len()).filter(|&places| places > 0),
        )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use voltgate_proto::ocpp::v1::IdTokenLocation;

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
            max_concurrent_transactions: Some(0),
            allowed_locations: vec![IdTokenLocation::default()],
            account_id: Some("ada".to_owned()),
        };
        assert_eq!(
            fields(wrong),
            [
                "idToken",
                "type",
                "groupId",
                "expiresAt",
                "maxConcurrentTransactions",
                "accountId",
                "allowedLocations[0].identity"
            ]
        );
        assert_eq!(fields(request("")), ["idToken"]);
    }
}
