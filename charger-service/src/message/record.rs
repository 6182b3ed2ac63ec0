//! Writes the log of exchanges, in the transaction of what an exchange brought about: no effect without its message, and no
//! message of an effect that never was. Also notes that the charge point has been heard of, since every frame comes
//! past here but those that are kept many at once (`message/routine.rs`).

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use crate::charge_point::password::PasswordKey;
use crate::id_token::key_code;
use crate::redact::{self, IdTags};
use crate::session::fence::Via;

/// The longest part of an unreadable frame that is kept. One that could be read is kept whole.
const MAX_UNREADABLE: usize = 4096;

/// A frame that the gateway sends again came in this long ago at most; far longer than it holds any.
const LONGEST_REPEAT: TimeDelta = TimeDelta::hours(1);

#[derive(Debug, Clone, Copy)]
pub enum Origin {
    Station,
    Csms,
}

impl Origin {
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Station, Self::Csms]
            .into_iter()
            .find(|origin| origin.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Station => "station",
            Self::Csms => "csms",
        }
    }
}

/// An exchange, secrets redacted already.
#[derive(Debug)]
pub struct Exchange<'a> {
    pub origin: Origin,
    /// The number that the charge point's frame has in its session, which is what it is recognised by when the gateway sends it
    /// again. None for what came without a session, and for what is no CALL.
    pub frame_number: Option<i64>,
    pub message_id: Option<&'a str>,
    pub action: Option<&'a str>,
    pub request: &'a Request<'a>,
    pub response: Option<&'a str>,
    pub error_code: Option<&'a str>,
    pub violations: &'a [String],
    pub requested_at: DateTime<Utc>,
    pub responded_at: Option<DateTime<Utc>>,
    /// How far the charge point's clock is ahead of ours, in seconds, where that is known better now.
    pub clock_offset: Option<f64>,
}

/// A frame on its way into the log, which knows of each id tag whether it is a secret.
#[derive(Debug)]
pub struct Request<'a> {
    frame: Cow<'a, str>,
    id_tags: Option<IdTags>,
}

impl<'a> Request<'a> {
    pub fn new(frame: &'a str, key: &PasswordKey) -> Self {
        let id_tags = redact::id_tags(frame, |tag| key_code::fingerprint(key, tag));
        Self {
            frame: frame.into(),
            id_tags,
        }
    }

    /// Of a frame that could not be read, as much as is worth keeping. Its tags are masked before it is cut: part of one may
    /// tell enough.
    pub fn unreadable(frame: &'a str, key: &PasswordKey) -> Self {
        let whole = Self::new(frame, key);
        Self {
            frame: excerpt(&whole.frame).into(),
            id_tags: whole.id_tags.map(|tags| IdTags {
                masked: excerpt(&tags.masked),
                ..tags
            }),
        }
    }

    /// The frame, where no tag is in it.
    pub fn plain(&self) -> Option<&str> {
        self.id_tags.is_none().then_some(&*self.frame)
    }

    /// The tags in it, and the frame without them.
    fn without_tags(&self) -> Option<(&[String], &str)> {
        self.id_tags
            .as_ref()
            .map(|tags| (tags.values.as_slice(), tags.masked.as_str()))
    }
}

/// Names the row of an exchange whose answer is yet to come.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    pub id: Uuid,
    pub requested_at: DateTime<Utc>,
    /// The exchange was heard on the present connection of its charge point.
    pub is_present: bool,
}

/// Why an exchange is not in the log.
#[derive(Debug, thiserror::Error)]
pub enum NotRecorded {
    #[error("the session goes on on another stream, which brings the frame again")]
    Resumed,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// A superseded session records what it hears, but can no longer say that its charge point is there. A stream that the
/// session has left records nothing; what its transaction has done so far must be rolled back.
pub async fn record(connection: &mut PgConnection, via: Via, exchange: &Exchange<'_>) -> Result<Pending, NotRecorded> {
    let id = Uuid::now_v7();
    let heard_at = match exchange.origin {
        Origin::Station => Some(exchange.requested_at),
        Origin::Csms => None,
    };
    let (tags, masked) = exchange.request.without_tags().unzip();
    let stream = sqlx::query_scalar!(
        r#"WITH heard AS (
             UPDATE ocpp.session SET last_seen_at = $12, clock_offset_seconds = coalesce($14, clock_offset_seconds)
             WHERE $12::timestamptz IS NOT NULL AND charge_point_id = $2 AND epoch = $11
             RETURNING stream),
         kept AS (
             INSERT INTO ocpp.message (id, charge_point_id, origin, message_id, action, request, response, error_code,
                 violations, requested_at, responded_at, frame_number, session_epoch)
             VALUES ($1, $2, $3, $4, $5,
                 CASE WHEN EXISTS (SELECT FROM ocpp.id_token WHERE type = 'KeyCode' AND lower(value) = ANY($16))
                      THEN $17 ELSE $6 END,
                 $7, $8, $9, $10, $13, $15, CASE WHEN $15::bigint IS NOT NULL THEN $11 END))
         SELECT stream FROM heard"#,
        id,
        via.charge_point,
        exchange.origin.as_str(),
        exchange.message_id,
        exchange.action,
        exchange.request.frame.as_ref(),
        exchange.response,
        exchange.error_code,
        exchange.violations,
        exchange.requested_at,
        via.epoch,
        heard_at,
        exchange.responded_at,
        exchange.clock_offset,
        exchange.frame_number,
        tags,
        masked,
    )
    .fetch_optional(connection)
    .await?;
    if stream.is_some_and(|stream| stream > via.stream) {
        return Err(NotRecorded::Resumed);
    }
    Ok(Pending {
        id,
        requested_at: exchange.requested_at,
        is_present: stream.is_some(),
    })
}

/// Adds a charge point's answer to a CALL of ours.
pub async fn complete(
    connection: &mut PgConnection,
    via: Via,
    pending: Pending,
    answer: &Answered<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH heard AS (
             UPDATE ocpp.session SET last_seen_at = $7 WHERE charge_point_id = $1 AND epoch = $8)
         UPDATE ocpp.message SET response = $4, error_code = $5, violations = $6, responded_at = $7
         WHERE charge_point_id = $1 AND requested_at = $2 AND id = $3",
        via.charge_point,
        pending.requested_at,
        pending.id,
        answer.frame,
        answer.error_code,
        answer.violations,
        answer.at,
        via.epoch,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The answer to a CALL in a frame that came in before on the same session, if it did. The frame is known by its number: its text
/// says nothing, since some charge points number their messages anew, and one heartbeat looks like every other.
pub async fn answer_to(
    database: impl PgExecutor<'_>,
    via: Via,
    message_id: &str,
    frame_number: i64,
    now: DateTime<Utc>,
) -> Result<Option<String>, sqlx::Error> {
    let answer = sqlx::query_scalar!(
        "SELECT response FROM ocpp.message
         WHERE charge_point_id = $1 AND message_id = $2 AND requested_at > $3 AND session_epoch = $4 AND frame_number = $5
         ORDER BY requested_at DESC, id DESC LIMIT 1",
        via.charge_point,
        message_id,
        now - LONGEST_REPEAT,
        via.epoch,
        frame_number,
    )
    .fetch_optional(database)
    .await?;
    Ok(answer.flatten())
}

/// Whether a CALL of ours has been answered.
pub async fn is_answered(
    database: &PgPool,
    via: Via,
    message_id: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM ocpp.message
             WHERE charge_point_id = $1 AND requested_at > $2 AND origin = 'csms' AND message_id = $3
               AND response IS NOT NULL) AS "answered!""#,
        via.charge_point,
        now - LONGEST_REPEAT,
        message_id,
    )
    .fetch_one(database)
    .await
}

#[derive(Debug)]
pub struct Answered<'a> {
    pub frame: &'a str,
    pub error_code: Option<&'a str>,
    pub violations: &'a [String],
    pub at: DateTime<Utc>,
}

/// As much of a frame that could not be read as is worth keeping, in a form that PostgreSQL takes.
pub fn excerpt(frame: &str) -> String {
    let mut end = frame.len().min(MAX_UNREADABLE);
    while !frame.is_char_boundary(end) {
        end -= 1;
    }
    frame[..end].replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_unreadable_frame_is_cut_between_characters() {
        let excerpt = excerpt(&"é".repeat(5000));
        assert_eq!(excerpt, "é".repeat(2048));
        assert_eq!(super::excerpt(&format!("a{}", "é".repeat(5000))).len(), 4095);
    }

    #[test]
    fn a_tag_that_is_cut_off_is_masked_all_the_same() {
        let frame = format!(
            r#"[2,"1","Authorize",{{"x":"{}","idTag":"SECRET-CODE""#,
            "a".repeat(4050)
        );
        let key = PasswordKey::new("a key of the test");
        let request = Request::unreadable(&frame, &key);
        let (tags, masked) = request.without_tags().expect("there is a tag");
        assert_eq!(tags, ["secret-code"]);
        assert!(masked.len() <= MAX_UNREADABLE && !masked.contains("SECRET"), "{masked}");
    }

    #[test]
    fn a_nul_is_made_storable() {
        assert_eq!(excerpt("a\0b"), "a\u{fffd}b");
    }
}
