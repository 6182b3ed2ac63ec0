//! What an account wants to be told of: subscribed, replaced, looked at and ended by itself.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::{FieldViolation, Reason};
use service_kit::version::{self, IfMatch, Versioned};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::email::v1::{ListSubscriptionsResponse, ReplaceSubscriptionRequest, Subscription};

use super::Kind;
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::words;

const MOST_OF_AN_ACCOUNT: i64 = 50;
const MOST_CHARGE_POINTS: usize = 1000;
const MOST_GROUPS: usize = 100;
const LONGEST: usize = 255;
const DEFAULT_DIGEST: i32 = 300;
const LONGEST_DIGEST: i32 = 86_400;

/// A subscription that breaks no rule.
#[derive(Debug)]
pub(crate) struct Replacement {
    name: String,
    kinds: Vec<String>,
    charge_points: Vec<String>,
    groups: Vec<String>,
    digest_seconds: i32,
}

#[derive(Debug, Error)]
pub(crate) enum SubscriptionError {
    #[error("there is no such subscription")]
    NotFound,
    #[error("the subscription has been changed meanwhile")]
    Changed,
    #[error("there are as many as may be")]
    TooMany,
    /// Only an account can be told.
    #[error("the caller is no account")]
    NoAccount,
    #[error("subscriptions could not be read or written")]
    Database(#[from] sqlx::Error),
}

impl From<SubscriptionError> for Status {
    fn from(error: SubscriptionError) -> Self {
        match error {
            SubscriptionError::NotFound => Reason::NotFound.status("You have no subscription of this name"),
            SubscriptionError::Changed => version::changed(),
            SubscriptionError::TooMany => {
                Reason::TooManySubscriptions.status("You have as many subscriptions as you may have")
            }
            SubscriptionError::NoAccount => Reason::PermissionDenied.status("This call needs the token of an account"),
            SubscriptionError::Database(error) => database::failed(&error),
        }
    }
}

impl TryFrom<ReplaceSubscriptionRequest> for Replacement {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ReplaceSubscriptionRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        if !words::is_name(&request.name) {
            violations.push(FieldViolation::new("name", words::NO_NAME));
        }
        let known = Kind::ALL.map(Kind::as_str);
        for (index, kind) in request.kinds.iter().enumerate() {
            if Kind::parse(kind).is_none() || request.kinds.iter().take(index).any(|before| before == kind) {
                let problem = format!("must be one of {}, each once", known.join(", "));
                violations.push(FieldViolation::new(format!("kinds[{index}]"), problem));
                break;
            }
        }
        for (field, texts, most) in [
            ("chargePoints", &request.charge_points, MOST_CHARGE_POINTS),
            ("groups", &request.groups, MOST_GROUPS),
        ] {
            if texts.len() > most {
                violations.push(FieldViolation::new(field, format!("must have at most {most}")));
            }
            for (index, text) in texts.iter().enumerate().take(most) {
                if !(1..=LONGEST).contains(&text.chars().count()) || text.chars().any(char::is_control) {
                    let problem = "must have 1 to 255 printable characters";
                    violations.push(FieldViolation::new(format!("{field}[{index}]"), problem));
                }
            }
        }
        let digest_seconds = request.digest_seconds.unwrap_or(DEFAULT_DIGEST);
        if !(0..=LONGEST_DIGEST).contains(&digest_seconds) {
            violations.push(FieldViolation::new("digestSeconds", "must be between 0 and 86400"));
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        let kinds = match request.kinds.is_empty() {
            true => known.map(str::to_owned).to_vec(),
            false => request.kinds,
        };
        Ok(Self {
            name: request.name,
            kinds,
            charge_points: request.charge_points,
            groups: request.groups,
            digest_seconds,
        })
    }
}

/// A row of `email.notice_subscription`.
pub(crate) struct Row {
    name: String,
    kinds: Vec<String>,
    charge_points: Vec<String>,
    groups: Vec<String>,
    digest_seconds: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    revision: i64,
}

impl From<Row> for Subscription {
    fn from(row: Row) -> Self {
        Self {
            name: row.name,
            kinds: row.kinds,
            charge_points: row.charge_points,
            groups: row.groups,
            digest_seconds: row.digest_seconds,
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
        }
    }
}

impl From<Row> for Versioned<Subscription> {
    fn from(row: Row) -> Self {
        let revision = row.revision;
        Self::new(row.into(), revision)
    }
}

fn account(author: &Author) -> Result<Uuid, SubscriptionError> {
    author.account.ok_or(SubscriptionError::NoAccount)
}

pub(crate) async fn replace(
    state: &State,
    new: Replacement,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Row, SubscriptionError> {
    let (account, now) = (account(author)?, state.clock.now());
    let mut transaction = database::begin(&state.database).await?;
    // One at a time: they are counted, and two may have one name.
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('email.notice_subscription ' || $1::text, 0))",
        account.to_string(),
    )
    .fetch_one(&mut *transaction)
    .await?;
    let known = match read(&mut transaction, account, &new.name).await {
        Ok(row) => Some(row.revision),
        Err(SubscriptionError::NotFound) => None,
        Err(error) => return Err(error),
    };
    match (known, if_match.revisions()) {
        (Some(known), Some(seen)) if !seen.contains(&known) => return Err(SubscriptionError::Changed),
        (None, Some(_)) => return Err(SubscriptionError::Changed),
        (None, None) => make_room(&mut transaction, account).await?,
        (Some(_), _) => {}
    }
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO email.notice_subscription AS known (id, account_id, name, kinds, charge_points, groups, digest_seconds,
             created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
         ON CONFLICT (account_id, name) DO UPDATE
         SET kinds = $4, charge_points = $5, groups = $6, digest_seconds = $7, updated_at = $8, revision = known.revision + 1
         RETURNING name, kinds, charge_points, groups, digest_seconds, created_at, updated_at, revision",
        Uuid::now_v7(),
        account,
        new.name,
        &new.kinds,
        &new.charge_points,
        &new.groups,
        new.digest_seconds,
        now,
    )
    .fetch_one(&mut *transaction)
    .await?;
    let entry = Entry::new(Action::SubscriptionReplaced, now, author)
        .on(&new.name)
        .with("kinds", Some(new.kinds))
        .with("groups", Some(new.groups))
        .with("chargePoints", Some(new.charge_points));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(row)
}

async fn make_room(connection: &mut PgConnection, account: Uuid) -> Result<(), SubscriptionError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM email.notice_subscription WHERE account_id = $1"#,
        account
    )
    .fetch_one(connection)
    .await?;
    match count < MOST_OF_AN_ACCOUNT {
        true => Ok(()),
        false => Err(SubscriptionError::TooMany),
    }
}

pub(crate) async fn get(database: &PgPool, name: &str, author: &Author) -> Result<Row, SubscriptionError> {
    read(&mut *database::begin(database).await?, account(author)?, name).await
}

async fn read(connection: &mut PgConnection, account: Uuid, name: &str) -> Result<Row, SubscriptionError> {
    sqlx::query_as!(
        Row,
        "SELECT name, kinds, charge_points, groups, digest_seconds, created_at, updated_at, revision
         FROM email.notice_subscription WHERE account_id = $1 AND name = $2",
        account,
        name,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(SubscriptionError::NotFound)
}

pub(crate) async fn list(database: &PgPool, author: &Author) -> Result<ListSubscriptionsResponse, SubscriptionError> {
    let account = account(author)?;
    let mut connection = database::begin(database).await?;
    let rows = sqlx::query_as!(
        Row,
        "SELECT name, kinds, charge_points, groups, digest_seconds, created_at, updated_at, revision
         FROM email.notice_subscription WHERE account_id = $1 ORDER BY name",
        account,
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok(ListSubscriptionsResponse {
        subscriptions: rows.into_iter().map(Subscription::from).collect(),
    })
}

pub(crate) async fn delete(
    state: &State,
    name: &str,
    if_match: &IfMatch,
    author: &Author,
) -> Result<(), SubscriptionError> {
    let account = account(author)?;
    let mut transaction = database::begin(&state.database).await?;
    let deleted = sqlx::query_scalar!(
        "DELETE FROM email.notice_subscription
         WHERE account_id = $1 AND name = $2 AND ($3::bigint[] IS NULL OR revision = ANY($3)) RETURNING id",
        account,
        name,
        if_match.revisions(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if deleted.is_none() {
        read(&mut transaction, account, name).await?;
        return Err(SubscriptionError::Changed);
    }
    let entry = Entry::new(Action::SubscriptionDeleted, state.clock.now(), author).on(name);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}

/// Of an account that is deleted.
pub(crate) async fn erase(connection: &mut PgConnection, account: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM email.notice_subscription WHERE account_id = $1", account)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_enough_and_stands_for_everything() {
        let request = ReplaceSubscriptionRequest {
            name: "all".to_owned(),
            ..Default::default()
        };
        let new = Replacement::try_from(request).unwrap();
        assert_eq!((new.kinds.len(), new.digest_seconds), (3, 300));
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let request = ReplaceSubscriptionRequest {
            name: "North Sea".to_owned(),
            kinds: vec!["offline".to_owned(), "offline".to_owned()],
            charge_points: vec!["CP-1".to_owned(), String::new()],
            groups: vec!["g".to_owned(); 101],
            digest_seconds: Some(-1),
        };
        let violations = Replacement::try_from(request).unwrap_err();
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(
            fields,
            ["name", "kinds[1]", "chargePoints[1]", "groups", "digestSeconds"]
        );
    }
}
