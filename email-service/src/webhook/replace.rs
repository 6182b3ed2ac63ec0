//! Subscribes a URL to events, or replaces what is subscribed under its name.

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::database;
use service_kit::hook::{Reach, SigningSecret, Url};
use service_kit::reason::FieldViolation;
use service_kit::sealing::SealingKey;
use service_kit::version::{IfMatch, Versioned};
use sqlx::PgConnection;
use uuid::Uuid;
use voltgate_proto::email::v1::{ReplaceWebhookRequest, Webhook};

use super::{CHANNEL, MOST_WEBHOOKS, WebhookError, event_types, list};
use crate::audit::{self, Action, Author, Entry};
use crate::{State, words};

/// So long a secret that was made is shown to whoever asks for the same again: an answer may get lost, and the gateway repeats
/// a PUT by itself.
const SHOWN_AGAIN: TimeDelta = TimeDelta::seconds(10);

/// A webhook that breaks no rule.
#[derive(Debug)]
pub(crate) struct Replacement {
    name: String,
    url: Url,
    types: Vec<String>,
    signing_secret: Option<SigningSecret>,
}

impl Replacement {
    /// Collects what is wrong with every field before it refuses.
    pub fn parse(request: ReplaceWebhookRequest, reach: Reach) -> Result<Self, Vec<FieldViolation>> {
        let mut violations = Vec::new();
        let mut note = |field: &str, problem: &str| violations.push(FieldViolation::new(field, problem));
        if !words::is_name(&request.name) {
            note("name", words::NO_NAME);
        }
        let url = Url::parse(&request.url).and_then(|url| url.within(reach));
        if let Err(error) = &url {
            note("url", &error.to_string());
        }
        let known = event_types::all().count();
        if request.types.len() > known {
            note("types", "has more names than there are events");
        }
        for (index, name) in request.types.iter().enumerate().take(known) {
            if !event_types::is_one(name) {
                note(&format!("types[{index}]"), "is no event that a webhook can have");
            }
        }
        let signing_secret = request.signing_secret.as_deref().map(SigningSecret::parse);
        if signing_secret == Some(None) {
            note("signingSecret", "must be whsec_ and 24 to 64 bytes in base64");
        }
        match url {
            Ok(url) if violations.is_empty() => Ok(Self {
                name: request.name,
                url,
                types: request.types,
                signing_secret: signing_secret.flatten(),
            }),
            Ok(_) | Err(_) => Err(violations),
        }
    }
}

/// The webhook as it is then, with its secret where that was made just now.
pub(crate) async fn replace(
    state: &State,
    new: Replacement,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<Webhook>, WebhookError> {
    let sealing = state.sealing.as_ref().ok_or(WebhookError::NoSecret)?;
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    // One at a time: they are counted, and two may have one name.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('email.webhook', 0))")
        .fetch_one(&mut *transaction)
        .await?;
    let known = find(&mut transaction, &new.name).await?;
    let (action, shown) = match known {
        Some(known) => {
            if if_match.revisions().is_some_and(|seen| !seen.contains(&known.revision)) {
                return Err(WebhookError::Changed);
            }
            change(&mut transaction, sealing, known.id, &new, now).await?;
            let shown = match new.signing_secret {
                Some(_) => None,
                None => known.secret_made_of_late(sealing, now)?,
            };
            (Action::WebhookUpdated, shown)
        }
        None if if_match.revisions().is_some() => return Err(WebhookError::Changed),
        None => {
            let made = new.signing_secret.is_none().then(SigningSecret::generate);
            insert(&mut transaction, sealing, &new, made.as_ref(), now).await?;
            (Action::WebhookCreated, made)
        }
    };
    let row = list::read(&mut transaction, &new.name).await?;
    let entry = Entry::new(action, now, author)
        .on(&new.name)
        .with("origin", Some(new.url.to_string()))
        .with("types", Some(row.types.clone()))
        .with("secretGiven", Some(new.signing_secret.is_some()));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    let revision = row.revision;
    let webhook = Webhook {
        signing_secret: shown.map(|secret| secret.reveal()),
        ..row.into()
    };
    Ok(Versioned::new(webhook, revision))
}

struct Known {
    id: Uuid,
    revision: i64,
    signing_secret: Vec<u8>,
    secret_made_at: Option<DateTime<Utc>>,
}

impl Known {
    fn secret_made_of_late(
        &self,
        sealing: &SealingKey,
        now: DateTime<Utc>,
    ) -> Result<Option<SigningSecret>, WebhookError> {
        if self.secret_made_at.is_none_or(|made_at| made_at + SHOWN_AGAIN < now) {
            return Ok(None);
        }
        Ok(SigningSecret::of_bytes(
            sealing.open(&self.signing_secret, &self.id.to_string())?,
        ))
    }
}

async fn find(connection: &mut PgConnection, name: &str) -> Result<Option<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        "SELECT id, revision, signing_secret, secret_made_at FROM email.webhook
         WHERE name = $1 AND deleted_at IS NULL FOR UPDATE",
        name,
    )
    .fetch_optional(connection)
    .await
}

async fn insert(
    connection: &mut PgConnection,
    sealing: &SealingKey,
    new: &Replacement,
    made: Option<&SigningSecret>,
    now: DateTime<Utc>,
) -> Result<(), WebhookError> {
    let count = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM email.webhook WHERE deleted_at IS NULL"#)
        .fetch_one(&mut *connection)
        .await?;
    if count >= MOST_WEBHOOKS {
        return Err(WebhookError::TooMany);
    }
    let id = Uuid::now_v7();
    let secret = made.or(new.signing_secret.as_ref());
    let secret = secret.map(SigningSecret::as_bytes).unwrap_or_default();
    sqlx::query!(
        "INSERT INTO email.webhook (id, name, url, types, signing_secret, secret_made_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
        id,
        new.name,
        new.url.as_text(),
        &new.types,
        sealing.seal(secret, &id.to_string())?,
        made.map(|_| now),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn change(
    connection: &mut PgConnection,
    sealing: &SealingKey,
    id: Uuid,
    new: &Replacement,
    now: DateTime<Utc>,
) -> Result<(), WebhookError> {
    let sealed = match &new.signing_secret {
        Some(secret) => Some(sealing.seal(secret.as_bytes(), &id.to_string())?),
        None => None,
    };
    sqlx::query!(
        "UPDATE email.webhook
         SET url = $2, types = $3, signing_secret = coalesce($4, signing_secret), disabled = NULL, updated_at = $5,
             secret_made_at = CASE WHEN $4::bytea IS NULL THEN secret_made_at END, revision = revision + 1
         WHERE id = $1",
        id,
        new.url.as_text(),
        &new.types,
        sealed,
        now,
    )
    .execute(&mut *connection)
    .await?;
    // What stood still goes on.
    sqlx::query!("SELECT pg_notify($1, '')", CHANNEL)
        .fetch_one(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request() -> ReplaceWebhookRequest {
        ReplaceWebhookRequest {
            name: "billing".to_owned(),
            url: "https://hooks.example.com/voltgate".to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn a_name_and_a_url_are_enough() {
        let new = Replacement::parse(request(), Reach::Public).unwrap();
        assert!(new.types.is_empty() && new.signing_secret.is_none());
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = ReplaceWebhookRequest {
            name: "Billing-".to_owned(),
            url: "https://127.0.0.1/".to_owned(),
            types: vec![
                "voltgate.events.v1.AccountSignedUp".to_owned(),
                // It has a code in it.
                "voltgate.events.v1.PasswordResetRequested".to_owned(),
            ],
            signing_secret: Some("whsec_short".to_owned()),
        };
        let violations = Replacement::parse(wrong, Reach::Public).unwrap_err();
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["name", "url", "types[1]", "signingSecret"]);
    }
}
