//! Events: facts that one service tells the others, in the envelope of `voltgate.events.v1`.
//!
//! An event is built next to the change that it tells of, put into the outbox in the same transaction, and carried from
//! there by the [bus](crate::bus). This module knows the envelope only; what an event means is its consumer's matter.

use std::ops::RangeInclusive;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use prost::{Message, Name};
use uuid::Uuid;

pub use voltgate_proto::events::v1::Event;

/// Wraps `message` in an envelope of its own, with a fresh id.
///
/// `source` is the name of the service that writes it, `time` is when it happened.
pub fn new<M: Message + Name>(source: &str, time: DateTime<Utc>, message: &M) -> Event {
    Event {
        id: Uuid::now_v7().to_string(),
        r#type: M::full_name(),
        source: source.to_owned(),
        time: Some(timestamp(time)),
        data: Bytes::from(message.encode_to_vec()),
        expires_at: None,
        language: None,
    }
}

/// The same for an event that is of no use from `expires_at` on and must not be kept then, because `message` holds a secret
/// that lives as long.
pub fn expiring<M: Message + Name>(source: &str, time: DateTime<Utc>, expires_at: DateTime<Utc>, message: &M) -> Event {
    Event {
        expires_at: Some(timestamp(expires_at)),
        ..new(source, time, message)
    }
}

/// The same event for somebody who reads `language`, a BCP 47 tag, where that is known.
pub fn in_language(event: Event, language: Option<String>) -> Event {
    Event { language, ..event }
}

/// Why an envelope cannot be read. None of these gets better by trying again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("its id is not a UUID")]
    Id,
    #[error("it has no valid time")]
    Time,
    #[error("it expires at no valid time")]
    Expiry,
    #[error("it holds a {found}, not a {expected}")]
    Type { expected: String, found: String },
    #[error("its data is not a valid {0}")]
    Data(String),
}

/// The message inside, if the envelope says that it holds an `M`.
pub fn decode<M: Message + Name + Default>(event: &Event) -> Result<M, Unreadable> {
    if event.r#type != M::full_name() {
        return Err(Unreadable::Type {
            expected: M::full_name(),
            found: event.r#type.clone(),
        });
    }
    M::decode(event.data.clone()).map_err(|_| Unreadable::Data(M::full_name()))
}

/// The id by which a consumer knows an event again.
pub fn id(event: &Event) -> Result<Uuid, Unreadable> {
    Uuid::parse_str(&event.id).map_err(|_| Unreadable::Id)
}

/// When it happened.
pub fn time(event: &Event) -> Result<DateTime<Utc>, Unreadable> {
    event.time.and_then(instant).ok_or(Unreadable::Time)
}

/// When it stops to be of use; `None` for an event that does not.
pub fn expires_at(event: &Event) -> Result<Option<DateTime<Utc>>, Unreadable> {
    event
        .expires_at
        .map(|at| instant(at).ok_or(Unreadable::Expiry))
        .transpose()
}

/// Whether it is of no more use at `now`. What expires at no valid time has had it.
pub fn has_expired(event: &Event, now: DateTime<Utc>) -> bool {
    match expires_at(event) {
        Ok(Some(at)) => at <= now,
        Ok(None) => false,
        Err(_) => true,
    }
}

/// The years that a `Timestamp` can say, which are those that RFC 3339 can write: 1 to 9999.
const SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A time out of a message; `None` where it is none.
pub fn instant(time: prost_types::Timestamp) -> Option<DateTime<Utc>> {
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    DateTime::from_timestamp(time.seconds, nanos).filter(|_| SECONDS.contains(&time.seconds))
}

/// A time as events and answers carry it: to the microsecond, as PostgreSQL keeps it, so that it reads the same everywhere.
pub fn timestamp(time: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_micros().min(999_999) * 1000).unwrap_or(0),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::TimeZone;
    use voltgate_proto::events::v1::AccountSignedUp;

    use super::*;

    fn signed_up() -> AccountSignedUp {
        AccountSignedUp {
            account_id: Uuid::now_v7().to_string(),
            username: "mara".to_owned(),
            email: Some("mara@example.org".to_owned()),
        }
    }

    #[test]
    fn an_event_carries_the_full_name_of_its_message_and_reads_back() {
        let at = Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap();
        let event = new("auth-service", at, &signed_up());
        assert_eq!(event.r#type, "voltgate.events.v1.AccountSignedUp");
        assert_eq!(event.source, "auth-service");
        assert_eq!(time(&event), Ok(at));
        assert_eq!(id(&event).unwrap().get_version_num(), 7);
        assert_eq!(decode::<AccountSignedUp>(&event).unwrap().username, "mara");
    }

    #[test]
    fn two_events_of_the_same_message_have_different_ids() {
        let message = signed_up();
        assert_ne!(
            new("auth-service", DateTime::UNIX_EPOCH, &message).id,
            new("auth-service", DateTime::UNIX_EPOCH, &message).id
        );
    }

    #[test]
    fn an_event_is_not_read_as_another_type() {
        let event = new("auth-service", DateTime::UNIX_EPOCH, &Event::default());
        assert_eq!(
            decode::<AccountSignedUp>(&event),
            Err(Unreadable::Type {
                expected: "voltgate.events.v1.AccountSignedUp".to_owned(),
                found: "voltgate.events.v1.Event".to_owned(),
            })
        );
    }

    #[test]
    fn broken_envelopes_are_named_for_what_is_wrong_with_them() {
        let mut event = new("auth-service", DateTime::UNIX_EPOCH, &signed_up());
        event.data = Bytes::from_static(b"\xff\xff\xff");
        assert_eq!(
            decode::<AccountSignedUp>(&event),
            Err(Unreadable::Data("voltgate.events.v1.AccountSignedUp".to_owned()))
        );
        event.id = "seventeen".to_owned();
        assert_eq!(id(&event), Err(Unreadable::Id));
        event.time = None;
        assert_eq!(time(&event), Err(Unreadable::Time));
        event.time = Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: -1,
        });
        assert_eq!(time(&event), Err(Unreadable::Time));
        event.expires_at = event.time;
        assert_eq!(expires_at(&event), Err(Unreadable::Expiry));
        assert!(has_expired(&event, DateTime::UNIX_EPOCH));
    }

    #[test]
    fn a_time_is_one_of_the_years_one_to_9999() {
        let time = |seconds, nanos| instant(prost_types::Timestamp { seconds, nanos });
        for (seconds, nanos) in [(*SECONDS.start(), 0), (0, 999_999_999), (*SECONDS.end(), 999_999_999)] {
            assert_eq!(time(seconds, nanos).map(|time| time.timestamp()), Some(seconds));
        }
        for (seconds, nanos) in [
            (*SECONDS.start() - 1, 0),
            (*SECONDS.end() + 1, 0),
            (59, 1_000_000_000),
            (0, -1),
        ] {
            assert_eq!(time(seconds, nanos), None, "{seconds} {nanos}");
        }
    }

    #[test]
    fn an_event_expires_when_it_was_said_to_or_never() {
        let at = Utc.with_ymd_and_hms(2026, 3, 1, 12, 10, 0).unwrap();
        let event = expiring("auth-service", DateTime::UNIX_EPOCH, at, &signed_up());
        assert_eq!(expires_at(&event), Ok(Some(at)));
        assert_eq!(time(&event), Ok(DateTime::UNIX_EPOCH));
        assert!(!has_expired(&event, at - chrono::TimeDelta::microseconds(1)));
        assert!(has_expired(&event, at));

        let event = new("auth-service", DateTime::UNIX_EPOCH, &signed_up());
        assert_eq!(expires_at(&event), Ok(None));
        assert!(!has_expired(&event, DateTime::<Utc>::MAX_UTC));
    }
}
