//! Registers a vendor, or replaces what is registered of it.

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::database;
use service_kit::hook::{Reach, SigningSecret, Url};
use service_kit::reason::FieldViolation;
use service_kit::sealing::DoesNotOpen;
use service_kit::version::{self, IfMatch, Versioned};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{DataTransferVendor, ReplaceDataTransferVendorRequest};

use super::list::{self, GetError};
use crate::State;
use crate::audit::{self, Action, Author, Entry};

const LONGEST_VENDOR_ID: usize = 255;
const LONGEST_MESSAGE_ID: usize = 50;
const MOST_MESSAGE_IDS: usize = 100;
const DEFAULT_TIMEOUT_SECONDS: i32 = 10;

/// So long a secret that was made is shown to whoever asks for the same again: an answer may get lost, and the gateway repeats
/// a PUT by itself.
const SHOWN_AGAIN: TimeDelta = TimeDelta::seconds(10);

/// A vendor that breaks no rule.
#[derive(Debug)]
pub(super) struct Replacement {
    vendor_id: String,
    url: Url,
    message_ids: Vec<String>,
    timeout_seconds: i32,
    signing_secret: Option<SigningSecret>,
}

#[derive(Debug, Error)]
pub(super) enum ReplaceError {
    #[error("the vendor has been changed meanwhile")]
    Changed,
    #[error("the secret could not be sealed")]
    Seal(#[from] DoesNotOpen),
    #[error("the vendor could not be stored")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for ReplaceError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            // Somebody else has registered it at the same moment.
            Some("data_transfer_vendor_unique") => Self::Changed,
            _ => Self::Database(error),
        }
    }
}

impl From<GetError> for ReplaceError {
    fn from(error: GetError) -> Self {
        match error {
            // It was stored in the same transaction.
            GetError::NotFound => Self::Database(sqlx::Error::RowNotFound),
            GetError::Database(error) => Self::Database(error),
        }
    }
}

impl From<ReplaceError> for Status {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Changed => version::changed(),
            ReplaceError::Seal(error) => service_kit::reason::internal(&error),
            ReplaceError::Database(error) => database::failed(&error),
        }
    }
}

impl Replacement {
    /// Collects what is wrong with every field before it refuses.
    pub(super) fn parse(request: ReplaceDataTransferVendorRequest, reach: Reach) -> Result<Self, Vec<FieldViolation>> {
        let mut violations = Vec::new();
        let mut note = |field: &str, problem: &str| violations.push(FieldViolation::new(field, problem));
        if !is_name(&request.vendor_id, LONGEST_VENDOR_ID) || request.vendor_id.trim() != request.vendor_id {
            note(
                "vendorId",
                "must have 1 to 255 printable characters, and no space at either end",
            );
        }
        let url = Url::parse(&request.url).and_then(|url| url.within(reach));
        if let Err(error) = &url {
            note("url", &error.to_string());
        }
        if request.message_ids.len() > MOST_MESSAGE_IDS {
            note("messageIds", "must have at most 100 names");
        }
        for (index, message_id) in request.message_ids.iter().enumerate().take(MOST_MESSAGE_IDS) {
            if !is_name(message_id, LONGEST_MESSAGE_ID) {
                let field = format!("messageIds[{index}]");
                note(&field, "must have 1 to 50 printable characters");
            }
        }
        let timeout_seconds = request.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        if !(1..=30).contains(&timeout_seconds) {
            note("timeoutSeconds", "must be between 1 and 30");
        }
        let signing_secret = request.signing_secret.as_deref().map(SigningSecret::parse);
        if signing_secret == Some(None) {
            note("signingSecret", "must be whsec_ and 24 to 64 bytes in base64");
        }
        match url {
            Ok(url) if violations.is_empty() => Ok(Self {
                vendor_id: request.vendor_id,
                url,
                message_ids: request.message_ids,
                timeout_seconds,
                signing_secret: signing_secret.flatten(),
            }),
            Ok(_) | Err(_) => Err(violations),
        }
    }
}

fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// The vendor as it is then, with its secret where that was made just now.
pub(super) async fn replace(
    state: &State,
    replacement: Replacement,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<DataTransferVendor>, ReplaceError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let known = find(&mut transaction, &replacement.vendor_id, if_match).await?;
    let (action, made, shown_again) = match known {
        Known::Changed => return Err(ReplaceError::Changed),
        Known::There(known) => {
            change(&mut transaction, state, known.id, &replacement).await?;
            let shown_again = match replacement.signing_secret {
                Some(_) => None,
                None => known.secret_made_of_late(state, now)?,
            };
            (Action::DataTransferVendorUpdated, None, shown_again)
        }
        Known::Nowhere => {
            let made = match replacement.signing_secret {
                Some(_) => None,
                None => Some(SigningSecret::generate()),
            };
            insert(&mut transaction, state, &replacement, made.as_ref()).await?;
            (Action::DataTransferVendorCreated, made, None)
        }
    };
    let row = list::read(&mut transaction, &replacement.vendor_id).await?;
    let entry = Entry::new(action, now, author)
        .with("vendorId", Some(row.vendor_id.as_str()))
        .with("origin", Some(replacement.url.to_string()))
        .with("messageIds", Some(row.message_ids.clone()))
        .with("timeoutSeconds", Some(row.timeout_seconds))
        .with(
            "secretChanged",
            Some(made.is_some() || replacement.signing_secret.is_some()),
        );
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    let revision = row.revision;
    let vendor = DataTransferVendor {
        signing_secret: made.or(shown_again).map(|secret| secret.reveal()),
        ..row.into()
    };
    Ok(Versioned::new(vendor, revision))
}

struct Vendor {
    id: Uuid,
    revision: i64,
    signing_secret: Vec<u8>,
    secret_made_at: Option<DateTime<Utc>>,
}

impl Vendor {
    fn secret_made_of_late(&self, state: &State, now: DateTime<Utc>) -> Result<Option<SigningSecret>, DoesNotOpen> {
        if self.secret_made_at.is_none_or(|made_at| made_at + SHOWN_AGAIN < now) {
            return Ok(None);
        }
        let secret = state.sealing.open(&self.signing_secret, &self.id.to_string())?;
        Ok(SigningSecret::of_bytes(secret))
    }
}

enum Known {
    There(Vendor),
    Nowhere,
    /// Not in the version that the caller has seen.
    Changed,
}

async fn find(connection: &mut PgConnection, vendor_id: &str, if_match: &IfMatch) -> Result<Known, sqlx::Error> {
    let known = sqlx::query_as!(
        Vendor,
        r#"SELECT id, revision, signing_secret, secret_made_at FROM ocpp.data_transfer_vendor WHERE lower(vendor_id) = lower($1 COLLATE "C")
           FOR UPDATE"#,
        vendor_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(match (known, if_match.revisions()) {
        (Some(known), Some(seen)) if !seen.contains(&known.revision) => Known::Changed,
        (Some(known), _) => Known::There(known),
        (None, Some(_)) => Known::Changed,
        (None, None) => Known::Nowhere,
    })
}

async fn insert(
    connection: &mut PgConnection,
    state: &State,
    replacement: &Replacement,
    made: Option<&SigningSecret>,
) -> Result<(), ReplaceError> {
    let (id, now) = (Uuid::now_v7(), state.clock.now());
    let secret = made.or(replacement.signing_secret.as_ref());
    let sealed = state
        .sealing
        .seal(secret.map(SigningSecret::as_bytes).unwrap_or_default(), &id.to_string())?;
    sqlx::query!(
        "INSERT INTO ocpp.data_transfer_vendor (id, vendor_id, url, message_ids, timeout_seconds, signing_secret,
             secret_made_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        id,
        replacement.vendor_id,
        replacement.url.as_text(),
        &replacement.message_ids,
        replacement.timeout_seconds,
        sealed,
        made.map(|_| now),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn change(
    connection: &mut PgConnection,
    state: &State,
    id: Uuid,
    replacement: &Replacement,
) -> Result<(), ReplaceError> {
    let sealed = match &replacement.signing_secret {
        Some(secret) => Some(state.sealing.seal(secret.as_bytes(), &id.to_string())?),
        None => None,
    };
    sqlx::query!(
        "UPDATE ocpp.data_transfer_vendor
         SET url = $2, message_ids = $3, timeout_seconds = $4, signing_secret = coalesce($5, signing_secret),
             secret_made_at = CASE WHEN $5::bytea IS NULL THEN secret_made_at END, updated_at = $6, revision = nextval('ocpp.revision')
         WHERE id = $1",
        id,
        replacement.url.as_text(),
        &replacement.message_ids,
        replacement.timeout_seconds,
        sealed,
        state.clock.now(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request() -> ReplaceDataTransferVendorRequest {
        ReplaceDataTransferVendorRequest {
            vendor_id: "com.example".to_owned(),
            url: "https://hooks.example.com/ocpp".to_owned(),
            ..Default::default()
        }
    }

    fn fields(request: ReplaceDataTransferVendorRequest) -> Vec<String> {
        match Replacement::parse(request, Reach::Public) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn a_name_and_a_url_are_enough() {
        let replacement = Replacement::parse(request(), Reach::Public).unwrap();
        assert_eq!((replacement.timeout_seconds, replacement.signing_secret), (10, None));
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = ReplaceDataTransferVendorRequest {
            vendor_id: " x".to_owned(),
            url: "https://127.0.0.1/".to_owned(),
            message_ids: vec!["good".to_owned(), String::new(), "x".repeat(51)],
            timeout_seconds: Some(31),
            signing_secret: Some("whsec_short".to_owned()),
        };
        assert_eq!(
            fields(wrong),
            [
                "vendorId",
                "url",
                "messageIds[1]",
                "messageIds[2]",
                "timeoutSeconds",
                "signingSecret"
            ]
        );
        let many = ReplaceDataTransferVendorRequest {
            message_ids: vec!["m".to_owned(); 101],
            ..request()
        };
        assert_eq!(fields(many), ["messageIds"]);
    }
}
