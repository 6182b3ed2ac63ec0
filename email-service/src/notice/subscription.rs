//! What an account wants to be told of: subscribed, replaced, looked at and ended by itself.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use service_kit::version::{self, IfMatch, Versioned};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::email::v1::{ListSubscriptionsResponse, Subscription};

use super::Replacement;
use crate::State;
use crate::audit::{self, Action, Author, Entry};

const MOST_OF_AN_ACCOUNT: i64 = 50;

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
