//! Webhooks: events for programs elsewhere, by calls that are signed in the way of Standard Webhooks.
//!
//! What is to be told is queued in the transaction that takes the event in, and goes out from the table, as mail does, with the same
//! retries. Whoever is slow or away keeps nobody else waiting. An event with a code in it goes to nobody.

mod delete;
mod deliver;
mod deliveries;
mod erase;
mod event_types;
mod fan_out;
mod list;
mod payload;
mod replace;
mod take;

pub(crate) use delete::{clear, delete};
pub(crate) use deliver::Courier;
pub(crate) use deliveries::{Page, give_up, list as list_deliveries, prune, retry};
pub(crate) use erase::erase;
pub(crate) use fan_out::fan_out;
pub(crate) use list::{get, list};
pub(crate) use replace::{Replacement, replace};

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::{self, Reason};
use service_kit::sealing::DoesNotOpen;
use service_kit::version::{self, Versioned};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::email::v1::Webhook;

/// The channel on which couriers hear of new deliveries.
const CHANNEL: &str = "email_webhook";

/// Each event is kept once for every webhook that wants it.
const MOST_WEBHOOKS: i64 = 100;

/// A row of `email.webhook`, without its secret.
pub(crate) struct Row {
    name: String,
    url: String,
    types: Vec<String>,
    disabled: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    revision: i64,
}

impl From<Row> for Webhook {
    fn from(row: Row) -> Self {
        Self {
            name: row.name,
            url: row.url,
            types: row.types,
            signing_secret: None,
            disabled: row.disabled,
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
        }
    }
}

impl From<Row> for Versioned<Webhook> {
    fn from(row: Row) -> Self {
        let revision = row.revision;
        Self::new(row.into(), revision)
    }
}

#[derive(Debug, Error)]
pub(crate) enum WebhookError {
    #[error("there is no such webhook")]
    NotFound,
    #[error("the webhook has been changed meanwhile")]
    Changed,
    #[error("there are as many as may be")]
    TooMany,
    #[error("EMAIL_SECRET is not set")]
    NoSecret,
    #[error("there is no such delivery")]
    NoDelivery,
    #[error("the delivery was not given up")]
    NotFailed(&'static str),
    #[error("a secret could not be sealed or opened")]
    Seal(#[from] DoesNotOpen),
    #[error("webhooks could not be read or written")]
    Database(#[from] sqlx::Error),
}

impl From<WebhookError> for Status {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::NotFound => Reason::NotFound.status("There is no webhook of this name"),
            WebhookError::Changed => version::changed(),
            WebhookError::TooMany => Reason::TooManyWebhooks.status("There are as many webhooks as there may be"),
            WebhookError::NoSecret => {
                Reason::NoEmailSecret.status("The secret that keeps signing secrets, EMAIL_SECRET, is not set")
            }
            WebhookError::NoDelivery => Reason::NotFound.status("The webhook has no delivery of this id"),
            WebhookError::NotFailed(why) => Reason::DeliveryNotFailed.status(why),
            WebhookError::Seal(error) => reason::internal(&error),
            WebhookError::Database(error) => database::failed(&error),
        }
    }
}
