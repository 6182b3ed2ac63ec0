//! Changes an id token: blocks it, lets it expire, puts it into a group.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::reason::{self, FieldViolation};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::UpdateIdTokenRequest;

use super::create::{
    DEFAULT_TYPE, NOT_A_LIMIT, NOT_A_TIME, NOT_A_TOKEN, NOT_A_TYPE, NOT_A_UUID, is_limit, is_token, kind, properties,
    time,
};
use super::list::{self, GetError};
use super::location::{self, Location, ReplaceError};
use super::owner::{self, OwnerError};
use super::{Row, key_code};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::local_list::due;
use service_kit::version::{self, IfMatch};

/// The fields that can be changed.
const FIELDS: [&str; 7] = [
    "type",
    "group_id",
    "expires_at",
    "blocked",
    "max_concurrent_transactions",
    "allowed_locations",
    "account_id",
];

/// A change that breaks no rule. What it does not have stays.
#[derive(Debug)]
pub struct Change {
    value: String,
    r#type: Option<&'static str>,
    /// Inside: none takes it away.
    group_id: Option<Option<String>>,
    expires_at: Option<Option<DateTime<Utc>>>,
    blocked: Option<bool>,
    max_concurrent_transactions: Option<Option<i32>>,
    allowed_locations: Option<Vec<Location>>,
    account_id: Option<Option<Uuid>>,
}

#[derive(Debug, Error)]
pub enum UpdateError {
    #[error("the id token has been changed meanwhile")]
    Changed,
    #[error("the request names what is not there")]
    Invalid(Vec<FieldViolation>),
    #[error("the id token could not be changed")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Get(#[from] GetError),
}

impl From<ReplaceError> for UpdateError {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Unknown(violations) => Self::Invalid(violations),
            ReplaceError::Database(error) => Self::Database(error),
        }
    }
}

impl From<OwnerError> for UpdateError {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::Deleted => Self::Invalid(vec![FieldViolation::new("accountId", owner::DELETED)]),
            OwnerError::Database(error) => Self::Database(error),
        }
    }
}

impl From<UpdateError> for Status {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Changed => version::changed(),
            UpdateError::Invalid(violations) => reason::invalid(violations),
            UpdateError::Database(error) => database::failed(&error),
            UpdateError::Get(error) => error.into(),
        }
    }
}

impl TryFrom<UpdateIdTokenRequest> for Change {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses, in those too that the mask does not name. What the mask
    /// names and the request leaves out is cleared: it is again what it is where the creation leaves it out.
    fn try_from(request: UpdateIdTokenRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let mut note = |field: &str, problem: &str| violations.push(FieldViolation::new(field, problem));
        // A mask of no fields is none.
        let mask = request.update_mask.map(|mask| mask.paths);
        let mask = mask.filter(|paths| !paths.is_empty());
        if let Some(unknown) = mask.iter().flatten().find(|path| !FIELDS.contains(&path.as_str())) {
            note("updateMask", &format!("names `{unknown}`, which cannot be changed"));
        }
        let r#type = request.r#type.as_deref().map(kind);
        if r#type == Some(None) {
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
        let allowed_locations = location::parse(request.allowed_locations).unwrap_or_else(|problems| {
            violations.extend(problems);
            Vec::new()
        });
        if !violations.is_empty() {
            return Err(violations);
        }
        let is_changed = |field: &str, given: bool| match &mask {
            Some(paths) => paths.iter().any(|path| path == field),
            None => given,
        };
        let (r#type, expires_at) = (r#type.flatten(), expires_at.flatten());
        Ok(Self {
            r#type: is_changed("type", r#type.is_some()).then_some(r#type.unwrap_or(DEFAULT_TYPE)),
            group_id: is_changed("group_id", request.group_id.is_some()).then_some(request.group_id),
            expires_at: is_changed("expires_at", expires_at.is_some()).then_some(expires_at),
            blocked: is_changed("blocked", request.blocked.is_some()).then_some(request.blocked.unwrap_or_default()),
            max_concurrent_transactions: is_changed(
                "max_concurrent_transactions",
                request.max_concurrent_transactions.is_some(),
            )
            .then_some(request.max_concurrent_transactions),
            allowed_locations: is_changed("allowed_locations", !allowed_locations.is_empty())
                .then_some(allowed_locations),
            account_id: is_changed("account_id", account_id.is_some()).then_some(account_id.and_then(Result::ok)),
            value: request.id_token,
        })
    }
}

/// Changes it in the version that the caller has seen, and returns it as it is then.
pub async fn update(state: &State, change: Change, if_match: &IfMatch, author: &Author) -> Result<Row, UpdateError> {
    let mut transaction = database::begin(&state.database).await?;
    let before = sqlx::query!(
        r#"WITH before AS (
             SELECT id, type FROM ocpp.id_token
             WHERE lower(value) = lower($1 COLLATE "C") AND ($8::bigint[] IS NULL OR revision = ANY($8))
             FOR NO KEY UPDATE)
           UPDATE ocpp.id_token
           SET type = coalesce($2, id_token.type), group_id = CASE WHEN $3 THEN $4 ELSE group_id END,
               expires_at = CASE WHEN $5 THEN $6 ELSE expires_at END, blocked = coalesce($7, blocked),
               max_concurrent_transactions = CASE WHEN $9 THEN $10 ELSE max_concurrent_transactions END,
               account_id = CASE WHEN $11 THEN $12 ELSE account_id END,
               revision = nextval('ocpp.revision')
           FROM before WHERE id_token.id = before.id
           RETURNING id_token.id, before.type AS "former_type!""#,
        change.value,
        change.r#type,
        change.group_id.is_some(),
        change.group_id.flatten(),
        change.expires_at.is_some(),
        change.expires_at.flatten(),
        change.blocked,
        if_match.revisions(),
        change.max_concurrent_transactions.is_some(),
        change.max_concurrent_transactions.flatten(),
        change.account_id.is_some(),
        change.account_id.flatten(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(before) = before else {
        list::read(&mut transaction, &change.value).await?;
        return Err(UpdateError::Changed);
    };
    let now = state.clock.now();
    if let Some(account) = change.account_id {
        owner::hand_over(&mut transaction, &change.value, account, now).await?;
    }
    if let Some(locations) = &change.allowed_locations {
        location::replace(&mut transaction, before.id, locations).await?;
    }
    let updated = list::read(&mut transaction, &change.value).await?;
    // What was a code is shown no more than what is one.
    let types = [before.former_type.as_str(), updated.r#type.as_str()];
    let shown = key_code::shown(&state.passwords, &updated.value, types);
    let entry = Entry::new(Action::IdTokenUpdated, now, author).on_id_token(&shown);
    audit::record(&mut transaction, properties(entry, &updated)).await?;
    due::token_changed(&mut transaction, &[updated.value.as_str()]).await?;
    transaction.commit().await?;
    Ok(updated)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use voltgate_proto::ocpp::v1::IdTokenLocation;

    use super::*;

    fn change(request: UpdateIdTokenRequest, mask: Option<&[&str]>) -> Result<Change, Vec<String>> {
        let paths = |paths: &[&str]| prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        };
        let request = UpdateIdTokenRequest {
            update_mask: mask.map(paths),
            ..request
        };
        Change::try_from(request)
            .map_err(|violations| violations.into_iter().map(|violation| violation.field).collect())
    }

    fn group(name: &str) -> UpdateIdTokenRequest {
        UpdateIdTokenRequest {
            group_id: Some(name.to_owned()),
            ..UpdateIdTokenRequest::default()
        }
    }

    #[test]
    fn without_a_mask_what_is_given_is_changed() {
        let change = change(group("G"), None).unwrap();
        assert_eq!(change.group_id, Some(Some("G".to_owned())));
        assert!(change.r#type.is_none() && change.expires_at.is_none() && change.blocked.is_none());
    }

    #[test]
    fn what_a_mask_names_is_changed_or_cleared_and_nothing_else() {
        let change = change(group("G"), Some(&["type", "expires_at", "blocked"])).unwrap();
        assert_eq!(
            (change.r#type, change.group_id, change.expires_at, change.blocked),
            (Some("ISO14443"), None, Some(None), Some(false))
        );
    }

    #[test]
    fn a_limit_and_places_are_taken_away_by_a_mask_that_names_them() {
        let unchanged = change(group("G"), None).unwrap();
        assert_eq!(
            (unchanged.max_concurrent_transactions, unchanged.allowed_locations),
            (None, None)
        );
        let mask = Some(&["max_concurrent_transactions", "allowed_locations", "account_id"][..]);
        let cleared = change(group("G"), mask).unwrap();
        assert_eq!(cleared.max_concurrent_transactions, Some(None));
        assert_eq!(cleared.allowed_locations, Some(Vec::new()));
        assert_eq!(cleared.account_id, Some(None));
    }

    #[test]
    fn a_mask_of_no_fields_is_none() {
        let change = change(group("G"), Some(&[])).unwrap();
        assert_eq!(change.group_id, Some(Some("G".to_owned())));
        assert!(change.r#type.is_none() && change.expires_at.is_none() && change.blocked.is_none());
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = UpdateIdTokenRequest {
            r#type: Some("Card".to_owned()),
            expires_at: Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            max_concurrent_transactions: Some(10_001),
            allowed_locations: vec![IdTokenLocation {
                identity: "CP1".to_owned(),
                connector_id: Some(0),
            }],
            account_id: Some(String::new()),
            ..group("")
        };
        assert_eq!(
            change(wrong, None).unwrap_err(),
            [
                "type",
                "groupId",
                "expiresAt",
                "maxConcurrentTransactions",
                "accountId",
                "allowedLocations[0].connectorId"
            ]
        );
        let named = Some(&["blocked", "id_token"][..]);
        assert_eq!(change(group(""), named).unwrap_err(), ["updateMask", "groupId"]);
    }
}
