//! A message: one mail to one recipient, from what caused it to the moment a mail server took it.
//!
//! ```text
//! queued ──► sending ──► sent
//!  │ ▲          │ ├────► failed
//!  │ │          │ ├────► suppressed
//!  │ └──────────┘ └────► unaddressed
//!  │   later
//!  └──► expired
//! ```
//!
//! A message with a code in it expires with the code. Nobody needs the code once the message has come to its end, so it goes from
//! the table in the very statement that ends it, and the table's own constraint sees to that.

mod attempt;
mod create;
pub(crate) mod erase;
pub(crate) mod gauge;
mod get;
mod list;
mod outcome;
pub(crate) mod prune;
mod resend;
mod status;
mod written;

use chrono::{DateTime, Utc};
use serde_json::Value;
use service_kit::event::timestamp;
use sqlx::PgConnection;
use uuid::Uuid;
use voltgate_proto::email::v1 as api;

pub(crate) use attempt::{Claimed, Lease, begin_handing_over, expire, renew, take};
pub(crate) use create::{NewLetter, create};
pub(crate) use get::get;
pub(crate) use list::{Filter, list};
pub(crate) use outcome::{
    Ended, Failure, address, mark_failed, mark_for_an_outsider, mark_sent, mark_suppressed, mark_unaddressed, postpone,
};
pub(crate) use resend::resend;
pub(crate) use status::Status;
pub(crate) use written::{Key, WriteError, repeated, sign};

use crate::template::Template;

/// The channel on which senders hear of new messages.
pub(crate) const CHANNEL: &str = "email_message";

/// A message as callers see it.
pub(crate) struct Message {
    pub id: Uuid,
    pub event_id: Option<Uuid>,
    pub template: String,
    pub recipient: String,
    pub language: Option<String>,
    pub status: String,
    pub attempts: i32,
    pub last_error: Option<String>,
    pub possibly_duplicate: bool,
    pub created_at: DateTime<Utc>,
    pub sent_at: Option<DateTime<Utc>>,
    pub next_attempt_at: DateTime<Utc>,
    pub resend_of: Option<Uuid>,
}

impl From<Message> for api::Message {
    fn from(message: Message) -> Self {
        let waits = message.status == Status::Queued.as_str();
        Self {
            id: message.id.to_string(),
            event_id: message.event_id.map(|id| id.to_string()),
            template: message.template,
            recipient: message.recipient,
            status: message.status,
            attempts: message.attempts,
            last_error: message.last_error,
            possibly_duplicate: message.possibly_duplicate,
            created_at: Some(timestamp(message.created_at)),
            sent_at: message.sent_at.map(timestamp),
            next_attempt_at: waits.then(|| timestamp(message.next_attempt_at)),
            language: message.language,
            resend_of: message.resend_of.map(|id| id.to_string()),
            history: Vec::new(),
        }
    }
}

/// A message to be.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub template: Template,
    pub recipient: String,
    /// A BCP 47 tag, where somebody has said what the recipient reads.
    pub language: Option<String>,
    pub variables: Value,
    /// The account that it is about.
    pub account_id: Option<Uuid>,
    /// When the code among the variables expires, if there is one.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Queues a message, which an event caused or did not, and wakes the senders once the caller's transaction commits.
pub(crate) async fn queue(
    connection: &mut PgConnection,
    event_id: Option<Uuid>,
    draft: &Draft,
    now: DateTime<Utc>,
) -> Result<Uuid, sqlx::Error> {
    let id = Uuid::now_v7();
    sqlx::query!(
        r#"
        WITH message AS (
            INSERT INTO email.message (id, event_id, template, recipient, language, variables, account_id, expires_at,
                next_attempt_at, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
        )
        SELECT pg_notify($10, '')
        "#,
        id,
        event_id,
        draft.template.name(),
        draft.recipient,
        draft.language,
        draft.variables,
        draft.account_id,
        draft.expires_at,
        now,
        CHANNEL,
    )
    .execute(connection)
    .await?;
    Ok(id)
}
