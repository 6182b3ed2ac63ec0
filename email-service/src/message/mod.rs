//! A message: one mail to one recipient, from the event that caused it to the moment a mail server took it.
//!
//! ```text
//! queued ──► sending ──► sent
//!  │ ▲          │ └────► failed
//!  │ └──────────┘ later
//!  └──► expired
//! ```
//!
//! A message with a code in it expires with the code. Nobody needs the code once the message has come to its end, so it goes from
//! the table in the very statement that ends it, and the table's own constraint sees to that.

mod attempt;
pub(crate) mod erase;
pub(crate) mod gauge;
mod get;
mod list;
pub(crate) mod prune;
mod status;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

pub(crate) use attempt::{Claimed, Lease, expire, mark_failed, mark_sent, postpone, renew, take};
pub(crate) use get::get;
pub(crate) use list::{Filter, list};
pub(crate) use status::Status;

use crate::template::Template;

/// The channel on which senders hear of new messages.
pub(crate) const CHANNEL: &str = "email_message";

/// A message as callers see it.
pub(crate) struct Message {
    pub id: Uuid,
    pub event_id: Uuid,
    pub template: String,
    pub recipient: String,
    pub status: String,
    pub attempts: i32,
    pub last_error: Option<String>,
    pub possibly_duplicate: bool,
    pub created_at: DateTime<Utc>,
    pub sent_at: Option<DateTime<Utc>>,
}

/// A message to be.
pub(crate) struct Draft {
    pub template: Template,
    pub recipient: String,
    pub variables: Value,
    /// The account that it is about.
    pub account_id: Option<Uuid>,
    /// When the code among the variables expires, if there is one.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Queues a message that an event caused, and wakes the senders once the caller's transaction commits.
pub(crate) async fn queue(
    connection: &mut PgConnection,
    event_id: Uuid,
    draft: &Draft,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        WITH message AS (
            INSERT INTO email.message (id, event_id, template, recipient, variables, account_id, expires_at, next_attempt_at, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
        )
        SELECT pg_notify($9, '')
        "#,
        Uuid::now_v7(),
        event_id,
        draft.template.name(),
        draft.recipient,
        draft.variables,
        draft.account_id,
        draft.expires_at,
        now,
        CHANNEL,
    )
    .execute(connection)
    .await?;
    Ok(())
}
