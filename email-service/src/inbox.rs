//! The inbox: what an event makes email-service do, decided once for each event.
//!
//! The event's id and the messages that it leads to are committed together, and only then is the event acknowledged. The
//! same event again finds its id taken and does nothing. Nothing is sent from here, so that a slow mail server is never a
//! slow consumer.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::json;
use service_kit::bus::{EventHandler, Handled, HandlerError};
use service_kit::clock::SharedClock;
use service_kit::event::{self, Event, Unreadable};
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::events::v1::AccountSignedUp;

use crate::message::{self, Draft};
use crate::template::Template;

pub(crate) struct Inbox {
    database: PgPool,
    clock: SharedClock,
}

/// What is to be done about an event.
enum Decision {
    Queue(Draft),
    /// There is nobody to write to.
    NoRecipient,
    /// This version does not know such events. It keeps the data for one that does.
    UnknownType,
}

/// Everything that email-service acts on.
fn decide(event: &Event) -> Result<Decision, Unreadable> {
    match event.r#type.as_str() {
        "voltgate.events.v1.AccountSignedUp" => Ok(welcome(event::decode(event)?)),
        _ => Ok(Decision::UnknownType),
    }
}

/// An account without an address is a full account; it just gets no mail.
fn welcome(account: AccountSignedUp) -> Decision {
    match account.email {
        Some(recipient) => Decision::Queue(Draft {
            template: Template::Welcome,
            recipient,
            variables: json!({ "username": account.username }),
        }),
        None => Decision::NoRecipient,
    }
}

impl Decision {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queued",
            Self::NoRecipient => "no_recipient",
            Self::UnknownType => "unknown_type",
        }
    }
}

/// Why an event was not taken in.
#[derive(Debug, thiserror::Error)]
enum TakeInError {
    #[error("the event cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    #[error("the database does not take it: {0}")]
    Database(#[from] sqlx::Error),
}

impl From<TakeInError> for HandlerError {
    fn from(error: TakeInError) -> Self {
        let reason = error.to_string();
        match error {
            TakeInError::Unreadable(_) => Self::Reject(reason),
            TakeInError::Database(error) if is_about_the_data(&error) => Self::Reject(reason),
            TakeInError::Database(_) => Self::Retry(reason),
        }
    }
}

/// PostgreSQL refuses what the event holds, such as a text with a NUL (class 22) or against a constraint (class 23).
/// Neither gets better by waiting; anything else does.
fn is_about_the_data(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

impl Inbox {
    pub fn new(database: PgPool, clock: SharedClock) -> Self {
        Self { database, clock }
    }

    async fn take_in(&self, event: &Event) -> Result<Handled, TakeInError> {
        let id = event::id(event)?;
        let decision = decide(event)?;
        let now = self.clock.now();

        let mut transaction = self.database.begin().await?;
        let recorded = record(&mut transaction, id, event, &decision, now).await?;
        if !recorded {
            return Ok(Handled::Repeated);
        }
        if let Decision::Queue(draft) = &decision {
            message::queue(&mut transaction, id, draft, now).await?;
        }
        transaction.commit().await?;
        tracing::info!(
            event = %id,
            kind = event.r#type,
            outcome = decision.outcome(),
            "An event was taken in"
        );
        Ok(Handled::New)
    }
}

/// Whether the event is new. Two replicas that get the same one wait for each other here.
async fn record(
    transaction: &mut sqlx::PgConnection,
    id: Uuid,
    event: &Event,
    decision: &Decision,
    now: DateTime<Utc>,
) -> Result<bool, TakeInError> {
    let unread = match decision {
        Decision::UnknownType => Some(event.data.as_ref()),
        Decision::Queue(_) | Decision::NoRecipient => None,
    };
    let done = sqlx::query!(
        r#"
        INSERT INTO email.inbox (event_id, type, source, time, received_at, outcome, unread)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (event_id) DO NOTHING
        "#,
        id,
        event.r#type,
        event.source,
        event::time(event)?,
        now,
        decision.outcome(),
        unread,
    )
    .execute(transaction)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[async_trait]
impl EventHandler for Inbox {
    async fn handle(&self, event: &Event) -> Result<Handled, HandlerError> {
        Ok(self.take_in(event).await?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use service_kit::bus::rabbitmq::topology::EMAIL_SERVICE;

    use super::*;

    fn event(message: &AccountSignedUp) -> Event {
        event::new("auth-service", DateTime::UNIX_EPOCH, message)
    }

    #[test]
    fn a_signup_with_an_address_leads_to_a_welcome() {
        let decision = decide(&event(&AccountSignedUp {
            account_id: Uuid::nil().to_string(),
            username: "mara".to_owned(),
            email: Some("mara@example.org".to_owned()),
        }));
        let Ok(Decision::Queue(draft)) = decision else {
            panic!("a message is queued");
        };
        assert_eq!(draft.template, Template::Welcome);
        assert_eq!(draft.recipient, "mara@example.org");
        assert_eq!(draft.variables, json!({ "username": "mara" }));
    }

    #[test]
    fn a_signup_without_an_address_leads_to_nothing() {
        let decision = decide(&event(&AccountSignedUp::default()));
        assert!(matches!(decision, Ok(Decision::NoRecipient)));
    }

    #[test]
    fn a_type_of_a_later_version_is_put_by() {
        let mut event = event(&AccountSignedUp::default());
        event.r#type = "voltgate.events.v1.RocketLaunched".to_owned();
        assert!(matches!(decide(&event), Ok(Decision::UnknownType)));
    }

    #[test]
    fn every_type_subscribed_to_is_known_here() {
        for kind in EMAIL_SERVICE.types {
            let mut event = event(&AccountSignedUp::default());
            event.r#type = (*kind).to_owned();
            assert!(!matches!(decide(&event), Ok(Decision::UnknownType)), "{kind}");
        }
    }

    #[test]
    fn data_that_cannot_be_read_is_rejected_for_good() {
        let mut event = event(&AccountSignedUp::default());
        event.data = prost::bytes::Bytes::from_static(b"\xff");
        let error = decide(&event).err().unwrap();
        assert!(matches!(
            HandlerError::from(TakeInError::from(error)),
            HandlerError::Reject(_)
        ));
    }

    #[test]
    fn a_database_that_is_down_is_a_reason_to_try_again() {
        let error = TakeInError::from(sqlx::Error::PoolTimedOut);
        assert!(matches!(HandlerError::from(error), HandlerError::Retry(_)));
    }
}
