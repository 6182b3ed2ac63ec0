#![allow(clippy::unwrap_used)]

use chrono::{TimeDelta, TimeZone};
use prost::{Message, Name};
use serde_json::json;
use service_kit::bus::rabbitmq::topology::EMAIL_SERVICE;
use voltgate_proto::events::v1::{
    AccountDeleted, AccountSignedUp, EmailChanged, EmailVerificationRequested, NewSignIn, PasswordChanged,
    PasswordResetRequested, SecondFactorChange, SecondFactorChanged, SignupWithKnownEmail,
};

use super::accounts::obscured;
use super::*;
use crate::message::Draft;
use crate::template::Template;

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
            json!({ "username": "mara", "change": "passkey-added" }),
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
                "at": "2026-03-01T12:00:00Z",
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
        let variables = json!({ "username": "mara", "code": "a-code", "until": "2026-03-01T12:10:00Z" });
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
    assert_eq!(draft.variables["change"], "email-change-requested");
}

#[test]
fn a_change_of_a_later_version_is_told_without_saying_what_it_is() {
    let draft = draft(&event(&SecondFactorChanged {
        email: Some("mara@example.org".to_owned()),
        change: 4711,
        ..SecondFactorChanged::default()
    }));
    assert_eq!(draft.variables["change"], "other");
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

#[test]
fn mail_is_written_in_the_language_that_its_event_names() {
    let message = AccountSignedUp {
        email: Some("mara@example.org".to_owned()),
        ..AccountSignedUp::default()
    };
    assert_eq!(draft(&event(&message)).language, None);
    let german = event::in_language(event(&message), Some("de-CH".to_owned()));
    assert_eq!(draft(&german).language.as_deref(), Some("de-CH"));
}

/// Events as they were published once, each with the bytes of its message. Lines are added to it, and none is changed or taken away: an
/// event may lie in an outbox or a queue for as long as it likes, and a type that nobody writes any more is read all the same.
const PUBLISHED: &str = include_str!("published.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2).filter_map(|at| hex.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn whatever_was_ever_published_is_read_today() {
    let mut kinds = Vec::new();
    for line in PUBLISHED.lines() {
        let (kind, hex) = line.split_once(' ').unwrap();
        let kind = format!("voltgate.events.v1.{kind}");
        let expires = EMAIL_SERVICE.expiring.contains(&kind.as_str());
        let event = Event {
            r#type: kind.clone(),
            data: bytes(hex).into(),
            expires_at: expires.then(|| event::timestamp(noon() + TimeDelta::minutes(10))),
            ..event(&AccountSignedUp::default())
        };
        let decision = decide(&event, noon());
        assert!(!matches!(decision, Ok(Decision::UnknownType) | Err(_)), "{kind}");
        kinds.push(kind);
    }
    for kind in [EMAIL_SERVICE.types, EMAIL_SERVICE.expiring].concat() {
        assert!(kinds.iter().any(|known| known == kind), "there is no line of {kind}");
    }
}
