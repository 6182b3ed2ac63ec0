//! The audit log: every change that somebody makes to mail, with who did it, when, and from where. A row is written in the
//! transaction of the change, so that neither is there without the other. It goes when it is older than it is kept.

mod list;

pub(crate) use list::{Page, list};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use service_kit::access::{Caller, Client};
use sqlx::{PgConnection, PgPool};
use tonic::Request;
use uuid::Uuid;

/// Entries deleted by one statement.
const AT_ONCE: i64 = 1000;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    MessageWritten,
    MessageResent,
    SuppressionAdded,
    SuppressionDeleted,
    DeadLetterRedriven,
    DeadLetterDeleted,
    /// By a client of the earlier API, as the next one.
    WelcomeRequested,
    UserCreatedPublished,
    WebhookCreated,
    WebhookUpdated,
    WebhookDeleted,
    DeliveryRetried,
    SubscriptionReplaced,
    SubscriptionDeleted,
}

impl Action {
    /// Part of the API, and never changed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MessageWritten => "message.written",
            Self::MessageResent => "message.resent",
            Self::SuppressionAdded => "suppression.added",
            Self::SuppressionDeleted => "suppression.deleted",
            Self::DeadLetterRedriven => "dead-letter.redriven",
            Self::DeadLetterDeleted => "dead-letter.deleted",
            Self::WelcomeRequested => "welcome.requested",
            Self::UserCreatedPublished => "user-created.published",
            Self::WebhookCreated => "webhook.created",
            Self::WebhookUpdated => "webhook.updated",
            Self::WebhookDeleted => "webhook.deleted",
            Self::DeliveryRetried => "webhook.delivery-retried",
            Self::SubscriptionReplaced => "subscription.replaced",
            Self::SubscriptionDeleted => "subscription.deleted",
        }
    }
}

/// Who does something, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    /// None where it is one of Voltgate's own processes.
    pub account: Option<Uuid>,
    client: Client,
}

impl Author {
    pub fn of<T>(request: &Request<T>) -> Self {
        let account = match Caller::of(request) {
            Caller::Account { id, .. } => Some(id),
            Caller::Service { .. } | Caller::Anonymous => None,
        };
        Self {
            account,
            client: Client::of(request),
        }
    }

    /// Whoever shows something that only the owner of an account has.
    pub fn as_owner(account: Uuid, client: Client) -> Self {
        Self {
            account: Some(account),
            client,
        }
    }
}

/// A row of the log, being put together.
#[must_use]
pub(crate) struct Entry<'a> {
    action: Action,
    at: DateTime<Utc>,
    author: &'a Author,
    subject: Option<String>,
    details: Map<String, Value>,
}

impl<'a> Entry<'a> {
    pub fn new(action: Action, at: DateTime<Utc>, author: &'a Author) -> Self {
        Self {
            action,
            at,
            author,
            subject: None,
            details: Map::new(),
        }
    }

    /// What it is done to.
    pub fn on(mut self, subject: impl ToString) -> Self {
        self.subject = Some(subject.to_string());
        self
    }

    /// What else there is to say, where there is something. Never a secret, and no address of anybody: those are erased elsewhere.
    pub fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.details.insert(name.to_owned(), value.into());
        }
        self
    }
}

/// An account that is deleted while it does something leaves no address and no device either.
pub(crate) async fn record(connection: &mut PgConnection, entry: Entry<'_>) -> Result<(), sqlx::Error> {
    let Entry {
        action,
        at,
        author,
        subject,
        details,
    } = entry;
    sqlx::query!(
        r#"
        INSERT INTO email.audit (id, at, actor_id, action, subject, address, device, details)
        SELECT $1, $2, $3, $4, $5, CASE WHEN there THEN $6 END, CASE WHEN there THEN $7 END, $8
        FROM (SELECT NOT EXISTS (SELECT FROM email.deleted_account WHERE id = $3) AS there) AS account
        "#,
        Uuid::now_v7(),
        at,
        author.account,
        action.as_str(),
        subject,
        author.client.address.to_string(),
        author.client.device,
        Value::Object(details),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What an account that is deleted did stays; where it was does not. Nor does an address of its own that something was done to, nor what
/// was said about that.
pub(crate) async fn erase(
    connection: &mut PgConnection,
    account: Uuid,
    address: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE email.audit SET address = NULL, device = NULL WHERE actor_id = $1 AND (address IS NOT NULL OR device IS NOT NULL)",
        account,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE email.audit SET subject = '', details = '{}' WHERE subject = lower($1)",
        address
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes what is older than it is kept.
pub(crate) async fn prune(database: &PgPool, before: DateTime<Utc>) -> Result<(), sqlx::Error> {
    loop {
        let done = sqlx::query!(
            "DELETE FROM email.audit WHERE id IN (
                 SELECT id FROM email.audit WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            before,
            AT_ONCE,
        )
        .execute(database)
        .await?;
        if i64::try_from(done.rows_affected()).is_ok_and(|entries| entries < AT_ONCE) {
            return Ok(());
        }
    }
}
