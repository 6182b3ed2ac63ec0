//! What happens to accounts, and the mail that follows from it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use service_kit::event::{self, Event, Unreadable};
use uuid::Uuid;
use voltgate_proto::events::v1::{
    AccountDeleted, AccountSignedUp, EmailChanged, EmailVerificationRequested, NewSignIn, PasswordChanged,
    PasswordResetRequested, SecondFactorChange, SecondFactorChanged, SignupWithKnownEmail,
};

use super::decision::Decision;
use crate::message::Draft;
use crate::template::Template;

pub(super) fn welcome(event: AccountSignedUp) -> Decision {
    let variables = json!({ "username": event.username });
    queue(draft(Template::Welcome, event.email, &event.account_id, variables))
}

pub(super) fn verify_email(event: &Event) -> Result<Decision, Unreadable> {
    let asked: EmailVerificationRequested = event::decode(event)?;
    let draft = draft(Template::VerifyEmail, Some(asked.email), &asked.account_id, Value::Null);
    queue_code(event, draft, &asked.username, &asked.code)
}

pub(super) fn reset_password(event: &Event) -> Result<Decision, Unreadable> {
    let asked: PasswordResetRequested = event::decode(event)?;
    let draft = draft(
        Template::ResetPassword,
        Some(asked.email),
        &asked.account_id,
        Value::Null,
    );
    queue_code(event, draft, &asked.username, &asked.code)
}

pub(super) fn password_changed(event: PasswordChanged) -> Decision {
    let variables = json!({ "username": event.username, "address": event.address, "device": event.device });
    queue(draft(
        Template::PasswordChanged,
        event.email,
        &event.account_id,
        variables,
    ))
}

/// To the old address. It may never have been the owner's, so it learns no more of the new one than its owner needs to know it by.
pub(super) fn email_changed(event: EmailChanged) -> Decision {
    let variables = json!({ "username": event.username, "new_address": obscured(&event.new_email) });
    queue(draft(
        Template::EmailChanged,
        event.old_email,
        &event.account_id,
        variables,
    ))
}

pub(super) fn known_email(event: SignupWithKnownEmail) -> Decision {
    queue(draft(Template::KnownEmail, Some(event.email), "", json!({})))
}

pub(super) fn second_factor_changed(event: SecondFactorChanged) -> Decision {
    let change = match event.change() {
        SecondFactorChange::TotpAdded => "totp-added",
        SecondFactorChange::TotpRemoved => "totp-removed",
        SecondFactorChange::PasskeyAdded => "passkey-added",
        SecondFactorChange::PasskeyRemoved => "passkey-removed",
        SecondFactorChange::ApiKeyCreated => "api-key-created",
        SecondFactorChange::EmailChangeRequested => "email-change-requested",
        SecondFactorChange::RecoveryCodesRenewed => "recovery-codes-renewed",
        // One of a later version.
        SecondFactorChange::Unspecified => "other",
    };
    let variables = json!({ "username": event.username, "change": change });
    queue(draft(
        Template::SecondFactorChanged,
        event.email,
        &event.account_id,
        variables,
    ))
}

pub(super) fn new_sign_in(event: &Event) -> Result<Decision, Unreadable> {
    let happened: NewSignIn = event::decode(event)?;
    let at = match happened.at {
        Some(at) => event::instant(at).ok_or(Unreadable::Time)?,
        None => event::time(event)?,
    };
    let variables = json!({
        "username": happened.username,
        "address": happened.address,
        "device": happened.device,
        "at": rfc3339(at),
    });
    Ok(queue(draft(
        Template::NewSignIn,
        happened.email,
        &happened.account_id,
        variables,
    )))
}

pub(super) fn account_deleted(event: &Event) -> Result<Decision, Unreadable> {
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
        language: None,
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
        variables: json!({ "username": username, "code": code, "until": rfc3339(expires_at) }),
        expires_at: Some(expires_at),
        ..draft
    })))
}

/// Enough of an address for whoever knows it: its first character and its domain.
pub(super) fn obscured(address: &str) -> String {
    match (address.chars().next(), address.rsplit_once('@')) {
        (Some(first), Some((_, domain))) => format!("{first}…@{domain}"),
        (_, None) | (None, _) => "…".to_owned(),
    }
}

/// Put into words when the mail is written, in its language.
fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
