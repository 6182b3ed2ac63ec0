//! What messages have in common that somebody has written, or has had sent again: they may be asked for twice under one key, and none
//! goes to an address that is suppressed.

use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use crate::audit::Author;
use crate::suppression;

/// In characters.
const LONGEST_KEY: usize = 255;

#[derive(Debug, Error)]
pub(crate) enum WriteError {
    #[error("there is no such message")]
    NotFound,
    #[error("the message cannot be sent once more")]
    NotRepeatable(&'static str),
    #[error("no mail goes to the address")]
    Suppressed,
    #[error("the idempotency key came with another request")]
    KeyReused,
    #[error("the message could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<WriteError> for Status {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotFound => Reason::NotFound.status("There is no message of this id"),
            WriteError::NotRepeatable(why) => Reason::MessageNotRepeatable.status(why),
            WriteError::Suppressed => suppression::refusal(),
            WriteError::KeyReused => {
                Reason::IdempotencyKeyReused.status("This Idempotency-Key came with another message before")
            }
            WriteError::Database(error) => database::failed(&error),
        }
    }
}

/// The key of a request, if it has one, and what tells a repetition from another request.
#[derive(Debug)]
pub(crate) struct Key {
    pub text: Option<String>,
    pub digest: Vec<u8>,
}

impl Key {
    /// `kind` keeps requests of different kinds apart that look alike.
    ///
    /// # Errors
    /// The key is none.
    pub fn of(metadata: &MetadataMap, kind: &str, request: &impl prost::Message) -> Result<Self, Vec<FieldViolation>> {
        let mut digest = Sha256::new_with_prefix(kind);
        digest.update([0]);
        digest.update(request.encode_to_vec());
        let digest = digest.finalize().to_vec();
        let Some(key) = metadata.get("idempotency-key") else {
            return Ok(Self { text: None, digest });
        };
        match key.to_str() {
            Ok(key) if (1..=LONGEST_KEY).contains(&key.len()) => Ok(Self {
                text: Some(key.to_owned()),
                digest,
            }),
            _ => Err(vec![FieldViolation::new(
                "Idempotency-Key",
                "must have 1 to 255 ASCII characters",
            )]),
        }
    }

    /// An id to which this key of this caller always leads, and nothing else does; without a key, another one each time. `what` keeps
    /// apart what one request makes.
    pub fn id(&self, what: &str, author: &Author) -> Uuid {
        let (Some(text), Some(account)) = (&self.text, author.account) else {
            return Uuid::now_v7();
        };
        let mut digest = Sha256::new_with_prefix(what);
        digest.update([0]);
        digest.update(account);
        digest.update(text);
        let digest = digest.finalize();
        let mut bytes = uuid::Bytes::default();
        for (byte, of_digest) in bytes.iter_mut().zip(digest) {
            *byte = of_digest;
        }
        // UUIDv8, which is for what one makes of one's own data (RFC 9562, section 5.8).
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// The message that the same request made before. Whoever asks at the same moment waits here until this transaction is over.
pub(crate) async fn repeated(
    connection: &mut PgConnection,
    key: &Key,
    author: &Author,
) -> Result<Option<Uuid>, WriteError> {
    let (Some(text), Some(account)) = (&key.text, author.account) else {
        return Ok(None);
    };
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('email.message ' || $1::text || ' ' || $2, 0))",
        account.to_string(),
        text,
    )
    .fetch_one(&mut *connection)
    .await?;
    let before = sqlx::query!(
        r#"SELECT id, request_digest AS "digest!" FROM email.message WHERE written_by = $1 AND idempotency_key = $2"#,
        account,
        text,
    )
    .fetch_optional(connection)
    .await?;
    match before {
        Some(before) if before.digest != key.digest => Err(WriteError::KeyReused),
        Some(before) => Ok(Some(before.id)),
        None => Ok(None),
    }
}

/// Notes who has the message sent, and under which key.
pub(crate) async fn sign(
    connection: &mut PgConnection,
    message: Uuid,
    resend_of: Option<Uuid>,
    key: &Key,
    author: &Author,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE email.message SET written_by = $2, idempotency_key = $3, request_digest = $4, resend_of = $5 WHERE id = $1",
        message,
        author.account,
        key.text,
        key.text.as_ref().map(|_| key.digest.as_slice()),
        resend_of,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use voltgate_proto::email::v1::ResendMessageRequest;

    use super::*;

    #[test]
    fn requests_that_look_alike_are_told_apart_by_their_kind() {
        let request = ResendMessageRequest {
            id: Uuid::nil().to_string(),
        };
        let digest = |kind| Key::of(&MetadataMap::new(), kind, &request).unwrap().digest;
        assert_eq!(digest("resend"), digest("resend"));
        assert_ne!(digest("resend"), digest("letter"));
    }

    #[test]
    fn a_key_is_text_and_not_too_long() {
        let key = |value: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("idempotency-key", value.parse().unwrap());
            Key::of(&metadata, "letter", &ResendMessageRequest::default())
        };
        assert_eq!(key("once").unwrap().text.as_deref(), Some("once"));
        assert!(key(&"x".repeat(256)).is_err());
    }
}
