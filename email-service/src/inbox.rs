//! The inbox: what an event makes email-service do, decided once for each event.
//!
//! The event's id and the messages that it leads to are committed together, and only then is the event acknowledged. The
//! same event again finds its id taken and does nothing. Nothing is sent from here, so that a slow mail server is never a
//! slow consumer.
//!
//! A code passes through in the message that it is for, and stands nowhere else. What has expired is recorded, and that is all.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use service_kit::bus::{EventHandler, Handled, HandlerError};
use service_kit::clock::SharedClock;
use service_kit::event::{self, Event, Unreadable};
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::events::v1::{
    AccountDeleted, AccountSignedUp, EmailChanged, EmailVerificationRequested, NewSignIn, PasswordChanged,
    PasswordResetRequested, SecondFactorChange, SecondFactorChanged, SignupWithKnownEmail,
};

use crate::message::{self, Draft};
use crate::template::Template;

pub(crate) struct Inbox {
    database: PgPool,
    clock: SharedClock,
}

/// What is to be done about an event.
enum Decision {
    Queue(Draft),
    /// An account is no more. Its owner hears of it for the last time, where there is somebody to write to.
    Erase {
        account: Uuid,
        /// Its own, and nobody else's.
        address: Option<String>,
        farewell: Option<Draft>,
    },
    /// There is nobody to write to.
    NoRecipient,
    /// This version does not know such events. It keeps the data for one that does.
    UnknownType,
    /// It came too late.
    Expired,
}

/// Everything that email-service acts on.
fn decide(event: &Event, now: DateTime<Utc>) -> Result<Decision, Unreadable> {
    if event::has_expired(event, now) {
        return Ok(Decision::Expired);
    }
    match event.r#type.as_str() {
        "voltgate.events.v1.AccountDeleted" => account_deleted(event),
        "voltgate.events.v1.AccountSignedUp" => Ok(welcome(event::decode(event)?)),
        "voltgate.events.v1.EmailChanged" => Ok(email_changed(event::decode(event)?)),
        "voltgate.events.v1.EmailVerificationRequested" => verify_email(event),
        "voltgate.events.v1.NewSignIn" => new_sign_in(event),
        "voltgate.events.v1.PasswordChanged" => Ok(password_changed(event::decode(event)?)),
        "voltgate.events.v1.PasswordResetRequested" => reset_password(event),
        "voltgate.events.v1.SecondFactorChanged" => Ok(second_factor_changed(event::decode(event)?)),
        "voltgate.events.v1.SignupWithKnownEmail" => Ok(known_email(event::decode(event)?)),
        _ => Ok(Decision::UnknownType),
    }
}

fn welcome(event: AccountSignedUp) -> Decision {
    let variables = json!({ "username": event.username });
    queue(draft(Template::Welcome, event.email, &event.account_id, variables))
}

fn verify_email(event: &Event) -> Result<Decision, Unreadable> {
    let asked: EmailVerificationRequested = event::decode(event)?;
    let draft = draft(Template::VerifyEmail, Some(asked.email), &asked.account_id, Value::Null);
    queue_code(event, draft, &asked.username, &asked.code)
}

fn reset_password(event: &Event) -> Result<Decision, Unreadable> {
    let asked: PasswordResetRequested = event::decode(event)?;
    let draft = draft(
        Template::ResetPassword,
        Some(asked.email),
        &asked.account_id,
        Value::Null,
    );
    queue_code(event, draft, &asked.username, &asked.code)
}

fn password_changed(event: PasswordChanged) -> Decision {
    let variables = json!({ "username": event.username, "address": event.address, "device": event.device });
    queue(draft(
        Template::PasswordChanged,
        event.email,
        &event.account_id,
        variables,
    ))
}

/// To the old address. It may never have been the owner's, so it learns no more of the new one than its owner needs to know it by.
fn email_changed(event: EmailChanged) -> Decision {
    let variables = json!({ "username": event.username, "new_address": obscured(&event.new_email) });
    queue(draft(
        Template::EmailChanged,
        event.old_email,
        &event.account_id,
        variables,
    ))
}

fn known_email(event: SignupWithKnownEmail) -> Decision {
    queue(draft(Template::KnownEmail, Some(event.email), "", json!({})))
}

fn second_factor_changed(event: SecondFactorChanged) -> Decision {
    let change = match event.change() {
        SecondFactorChange::TotpAdded => "An authenticator app was added.",
        SecondFactorChange::TotpRemoved => "The authenticator app was removed.",
        SecondFactorChange::PasskeyAdded => "A passkey was added.",
        SecondFactorChange::PasskeyRemoved => "A passkey was removed.",
        SecondFactorChange::ApiKeyCreated => "An API key was made, by which a program can act for you.",
        SecondFactorChange::EmailChangeRequested => {
            "Another mail address was asked for. It takes the place of this one once a code that was sent there is confirmed."
        }
        SecondFactorChange::RecoveryCodesRenewed => "New recovery codes were made; the old ones are void.",
        // One of a later version.
        SecondFactorChange::Unspecified => "The second factor was changed.",
    };
    let variables = json!({ "username": event.username, "change": change });
    queue(draft(
        Template::SecondFactorChanged,
        event.email,
        &event.account_id,
        variables,
    ))
}

fn new_sign_in(event: &Event) -> Result<Decision, Unreadable> {
    let happened: NewSignIn = event::decode(event)?;
    let at = match happened.at {
        Some(at) => event::instant(at).ok_or(Unreadable::Time)?,
        None => event::time(event)?,
    };
    let variables = json!({
        "username": happened.username,
        "address": happened.address,
        "device": happened.device,
        "at": in_words(at),
    });
    Ok(queue(draft(
        Template::NewSignIn,
        happened.email,
        &happened.account_id,
        variables,
    )))
}

fn account_deleted(event: &Event) -> Result<Decision, Unreadable> {
    let deleted: AccountDeleted = event::decode(event)?;
    let account = Uuid::parse_str(&deleted.account_id).map_err(|_| Unreadable::Data(event.r#type.clone()))?;
    let variables = json!({ "username": deleted.username });
    Ok(Decision::Erase {
        account,
        // What somebody else has of it stays.
        address: deleted.email.clone().filter(|_| !deleted.email_is_shared),
        farewell: draft(Template::AccountDeleted, deleted.email, &deleted.account_id, variables),
    })
}

/// An account without an address is a full account; it just gets no mail.
fn draft(template: Template, recipient: Option<String>, account_id: &str, variables: Value) -> Option<Draft> {
    Some(Draft {
        template,
        recipient: recipient.filter(|recipient| !recipient.is_empty())?,
        variables,
        account_id: Uuid::parse_str(account_id).ok(),
        expires_at: None,
    })
}

fn queue(draft: Option<Draft>) -> Decision {
    draft.map_or(Decision::NoRecipient, Decision::Queue)
}

/// The message expires with its event, and that with its code.
fn queue_code(event: &Event, draft: Option<Draft>, username: &str, code: &str) -> Result<Decision, Unreadable> {
    let expires_at = event::expires_at(event)?.ok_or(Unreadable::Expiry)?;
    Ok(queue(draft.map(|draft| Draft {
        variables: json!({ "username": username, "code": code, "until": in_words(expires_at) }),
        expires_at: Some(expires_at),
        ..draft
    })))
}

/// For people of any time zone.
fn in_words(time: DateTime<Utc>) -> String {
    time.format("%H:%M UTC on %-d %B %Y").to_string()
}

/// Enough of an address for whoever knows it: its first character and its domain.
fn obscured(address: &str) -> String {
    match (address.chars().next(), address.rsplit_once('@')) {
        (Some(first), Some((_, domain))) => format!("{first}…@{domain}"),
        (_, None) | (None, _) => "…".to_owned(),
    }
}

impl Decision {
    fn draft(&self) -> Option<&Draft> {
        match self {
            Self::Queue(draft) => Some(draft),
            Self::Erase { farewell, .. } => farewell.as_ref(),
            Self::NoRecipient | Self::UnknownType | Self::Expired => None,
        }
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Queue(_) | Self::Erase { farewell: Some(_), .. } => "queued",
            Self::NoRecipient | Self::Erase { farewell: None, .. } => "no_recipient",
            Self::UnknownType => "unknown_type",
            Self::Expired => "expired",
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
        let now = self.clock.now();
        let decision = decide(event, now)?;

        let mut transaction = self.database.begin().await?;
        let recorded = record(&mut transaction, id, event, &decision, now).await?;
        if !recorded {
            return Ok(Handled::Repeated);
        }
        if let Decision::Erase { account, address, .. } = &decision {
            message::erase::account(&mut transaction, *account, address.as_deref(), now).await?;
        }
        if let Some(draft) = decision.draft() {
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
        // What expires holds a secret, and is not kept for want of knowing what it is.
        Decision::UnknownType if event.expires_at.is_none() => Some(event.data.as_ref()),
        Decision::UnknownType
        | Decision::Queue(_)
        | Decision::Erase { .. }
        | Decision::NoRecipient
        | Decision::Expired => None,
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
    use chrono::{TimeDelta, TimeZone};
    use prost::{Message, Name};
    use service_kit::bus::rabbitmq::topology::EMAIL_SERVICE;

    use super::*;

    fn noon() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
    }

    fn event<M: Message + Name>(message: &M) -> Event {
        event::new("auth-service", noon(), message)
    }

    /// A code for ten minutes.
    fn expiring<M: Message + Name>(message: &M) -> Event {
        event::expiring("auth-service", noon(), noon() + TimeDelta::minutes(10), message)
    }

    fn draft(event: &Event) -> Draft {
        match decide(event, noon()).unwrap() {
            Decision::Queue(draft) => draft,
            Decision::Erase { farewell, .. } => farewell.unwrap(),
            other => panic!("a message is queued, and not {}", other.outcome()),
        }
    }

    fn mara() -> (String, String, Option<String>) {
        let id = Uuid::nil().to_string();
        (id, "mara".to_owned(), Some("mara@example.org".to_owned()))
    }

    #[test]
    fn each_event_leads_to_its_mail() {
        let (account_id, username, email) = mara();
        let (address, device) = ("203.0.113.7".to_owned(), Some("Firefox".to_owned()));
        let events = [
            (
                Template::Welcome,
                event(&AccountSignedUp {
                    account_id: account_id.clone(),
                    username: username.clone(),
                    email: email.clone(),
                }),
                json!({ "username": "mara" }),
            ),
            (
                Template::PasswordChanged,
                event(&PasswordChanged {
                    account_id: account_id.clone(),
                    username: username.clone(),
                    email: email.clone(),
                    address: address.clone(),
                    device: None,
                }),
                json!({ "username": "mara", "address": "203.0.113.7", "device": null }),
            ),
            (
                Template::EmailChanged,
                event(&EmailChanged {
                    account_id: account_id.clone(),
                    username: username.clone(),
                    old_email: email.clone(),
                    new_email: "mara.lind@new.example".to_owned(),
                }),
                json!({ "username": "mara", "new_address": "m…@new.example" }),
            ),
            (
                Template::KnownEmail,
                event(&SignupWithKnownEmail {
                    email: "mara@example.org".to_owned(),
                }),
                json!({}),
            ),
            (
                Template::SecondFactorChanged,
                event(&SecondFactorChanged {
                    account_id: account_id.clone(),
                    username: username.clone(),
                    email: email.clone(),
                    change: SecondFactorChange::PasskeyAdded.into(),
                }),
                json!({ "username": "mara", "change": "A passkey was added." }),
            ),
            (
                Template::NewSignIn,
                event(&NewSignIn {
                    account_id: account_id.clone(),
                    username: username.clone(),
                    email: email.clone(),
                    address,
                    device,
                    at: Some(event::timestamp(noon())),
                }),
                json!({
                    "username": "mara",
                    "address": "203.0.113.7",
                    "device": "Firefox",
                    "at": "12:00 UTC on 1 March 2026",
                }),
            ),
            (
                Template::AccountDeleted,
                event(&AccountDeleted {
                    account_id,
                    username,
                    email,
                    email_is_shared: false,
                }),
                json!({ "username": "mara" }),
            ),
        ];
        for (template, event, variables) in events {
            let draft = draft(&event);
            assert_eq!(draft.template, template);
            assert_eq!(draft.recipient, "mara@example.org");
            assert_eq!(draft.variables, variables);
            assert_eq!(draft.expires_at, None);
            let account = (template != Template::KnownEmail).then(Uuid::nil);
            assert_eq!(draft.account_id, account);
        }
    }

    #[test]
    fn a_code_leads_to_a_mail_that_expires_with_it() {
        let (account_id, username, email) = mara();
        let email = email.unwrap();
        let code = "a-code".to_owned();
        let expires_at = Some(event::timestamp(noon() + TimeDelta::minutes(10)));
        let verification = expiring(&EmailVerificationRequested {
            account_id: account_id.clone(),
            username: username.clone(),
            email: email.clone(),
            code: code.clone(),
            expires_at,
        });
        let reset = expiring(&PasswordResetRequested {
            account_id,
            username,
            email,
            code,
            expires_at,
        });
        for (event, template) in [(verification, Template::VerifyEmail), (reset, Template::ResetPassword)] {
            let draft = draft(&event);
            assert_eq!(draft.template, template);
            assert_eq!(draft.recipient, "mara@example.org");
            assert_eq!(draft.expires_at, Some(noon() + TimeDelta::minutes(10)));
            assert_eq!(draft.account_id, Some(Uuid::nil()));
            let variables = json!({ "username": "mara", "code": "a-code", "until": "12:10 UTC on 1 March 2026" });
            assert_eq!(draft.variables, variables);

            let late = decide(&event, noon() + TimeDelta::minutes(10));
            assert!(matches!(late, Ok(Decision::Expired)));
        }
    }

    #[test]
    fn a_code_that_never_expires_is_rejected() {
        let decision = decide(&event(&PasswordResetRequested::default()), noon());
        assert_eq!(decision.err(), Some(Unreadable::Expiry));
    }

    #[test]
    fn an_account_without_an_address_gets_no_mail() {
        for event in [
            event(&AccountSignedUp::default()),
            event(&PasswordChanged::default()),
            event(&EmailChanged::default()),
            event(&SecondFactorChanged::default()),
            event(&NewSignIn::default()),
        ] {
            let decision = decide(&event, noon());
            assert!(matches!(decision, Ok(Decision::NoRecipient)), "{}", event.r#type);
        }
    }

    #[test]
    fn a_deleted_account_is_erased_whether_or_not_there_is_somebody_to_write_to() {
        let account_id = Uuid::nil().to_string();
        let decision = decide(
            &event(&AccountDeleted {
                account_id,
                ..AccountDeleted::default()
            }),
            noon(),
        );
        assert!(matches!(decision, Ok(Decision::Erase { farewell: None, .. })));
        let nobody = decide(&event(&AccountDeleted::default()), noon());
        assert!(matches!(nobody, Err(Unreadable::Data(_))));
    }

    #[test]
    fn that_another_address_was_asked_for_is_told_at_the_one_of_before() {
        let draft = draft(&event(&SecondFactorChanged {
            email: Some("mara@example.org".to_owned()),
            change: SecondFactorChange::EmailChangeRequested.into(),
            ..SecondFactorChanged::default()
        }));
        assert_eq!(draft.recipient, "mara@example.org");
        let change = draft.variables["change"].as_str().unwrap_or_default();
        assert!(change.starts_with("Another mail address was asked for."), "{change}");
    }

    #[test]
    fn a_change_of_a_later_version_is_told_without_saying_what_it_is() {
        let draft = draft(&event(&SecondFactorChanged {
            email: Some("mara@example.org".to_owned()),
            change: 4711,
            ..SecondFactorChanged::default()
        }));
        assert_eq!(draft.variables["change"], "The second factor was changed.");
    }

    #[test]
    fn an_address_is_obscured_whatever_it_looks_like() {
        assert_eq!(obscured("mara@example.org"), "m…@example.org");
        assert_eq!(obscured("\"a@b\"@example.org"), "\"…@example.org");
        assert_eq!(obscured("mara"), "…");
        assert_eq!(obscured(""), "…");
    }

    #[test]
    fn a_type_of_a_later_version_is_put_by() {
        let mut event = event(&AccountSignedUp::default());
        event.r#type = "voltgate.events.v1.RocketLaunched".to_owned();
        assert!(matches!(decide(&event, noon()), Ok(Decision::UnknownType)));
    }

    #[test]
    fn every_type_subscribed_to_is_known_here() {
        for kind in EMAIL_SERVICE.types {
            let mut event = event(&AccountSignedUp::default());
            event.r#type = (*kind).to_owned();
            let decision = decide(&event, noon());
            assert!(!matches!(decision, Ok(Decision::UnknownType)), "{kind}");
        }
        for kind in EMAIL_SERVICE.expiring {
            let mut event = expiring(&AccountSignedUp::default());
            event.r#type = (*kind).to_owned();
            let decision = decide(&event, noon());
            assert!(!matches!(decision, Ok(Decision::UnknownType)), "{kind}");
        }
    }

    #[test]
    fn data_that_cannot_be_read_is_rejected_for_good() {
        let mut event = event(&AccountSignedUp::default());
        event.data = prost::bytes::Bytes::from_static(b"\xff");
        let error = decide(&event, noon()).err().unwrap();
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
