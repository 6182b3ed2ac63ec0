//! What the audit logs of all services have in common: an entry tells who did what, when and from where, and a list is asked
//! for newest first, a page at a time. To whom or to what it was done is each service's own.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use uuid::Uuid;

use crate::page::{self, PageSize};
use crate::reason::FieldViolation;

/// Which entries, as far as that is the same everywhere.
#[derive(Clone, Debug)]
pub struct Page {
    pub size: PageSize,
    /// Time, in microseconds since 1970, and id of the last entry seen.
    before: Option<(i64, Uuid)>,
    pub actor: Option<Uuid>,
    pub action: Option<String>,
    /// Not earlier.
    pub since: Option<DateTime<Utc>>,
    /// Earlier than this.
    until: Option<DateTime<Utc>>,
}

/// The fields of a request for a page.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub page_size: i32,
    pub page_token: &'a str,
    pub actor_id: Option<&'a str>,
    pub action: &'a str,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Page {
    /// Notes everything that is wrong; without a page something was.
    pub fn parse(asked: Asked<'_>, violations: &mut Vec<FieldViolation>) -> Option<Self> {
        let page = page::parse(asked.page_size, asked.page_token).map_err(|problems| violations.extend(problems));
        let actor = uuid("actorId", asked.actor_id, violations);
        if asked.action.contains('\0') {
            violations.push(FieldViolation::new("action", "must not contain a null character"));
        }
        let since = page::time("since", asked.since, violations);
        let until = page::time("until", asked.until, violations);
        let (size, before) = page.ok()?;
        Some(Self {
            size,
            before,
            actor,
            action: Some(asked.action.to_owned()).filter(|action| !action.is_empty()),
            since,
            until,
        })
    }

    /// The time and the id that entries have to be before: where the page before ended, or the end of the time that was asked
    /// for. In one, so that an index is entered just there. No time is later than any entry.
    pub fn before(&self) -> (Option<DateTime<Utc>>, Uuid) {
        let seen = self
            .before
            .and_then(|(micros, id)| Some((DateTime::from_timestamp_micros(micros)?, id)));
        let end = self.until.map(|until| (until, Uuid::nil()));
        match seen.into_iter().chain(end).min() {
            Some((at, id)) => (Some(at), id),
            None => (None, Uuid::max()),
        }
    }

    /// Cuts off the row too many, and returns the token of the next page where there is one.
    pub fn cut<Row>(&self, rows: &mut Vec<Row>, key: impl FnOnce(&Row) -> (DateTime<Utc>, Uuid)) -> String {
        self.size.cut(rows, |row| {
            let (at, id) = key(row);
            (at.timestamp_micros(), id)
        })
    }
}

/// A UUID to filter by.
pub fn uuid(field: &str, text: Option<&str>, violations: &mut Vec<FieldViolation>) -> Option<Uuid> {
    let parsed = text.and_then(|text| Uuid::parse_str(text).ok());
    if text.is_some() && parsed.is_none() {
        violations.push(FieldViolation::new(field, "must be a UUID"));
    }
    parsed
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOTHING: Asked<'_> = Asked {
        page_size: 0,
        page_token: "",
        actor_id: None,
        action: "",
        since: None,
        until: None,
    };

    #[test]
    fn the_next_page_begins_where_this_one_ends() {
        let first = Page::parse(
            Asked {
                page_size: 1,
                ..NOTHING
            },
            &mut Vec::new(),
        )
        .unwrap();
        assert_eq!(first.before(), (None, Uuid::max()));
        let at = DateTime::from_timestamp_micros(1_772_000_000_123_456).unwrap();
        let mut rows = vec![(at, Uuid::from_u128(2)), (at, Uuid::from_u128(1))];
        let page_token = first.cut(&mut rows, |row| *row);
        let asked = Asked {
            page_token: &page_token,
            ..NOTHING
        };
        let next = Page::parse(asked, &mut Vec::new()).unwrap();
        assert_eq!((rows.len(), next.before()), (1, (Some(at), Uuid::from_u128(2))));
        let until = |seconds| {
            let until = Some(Timestamp { seconds, nanos: 0 });
            Page::parse(Asked { until, ..asked }, &mut Vec::new()).unwrap().before()
        };
        let earlier = DateTime::from_timestamp(1_700_000_000, 0);
        assert_eq!(until(1_700_000_000), (earlier, Uuid::nil()));
        assert_eq!(until(1_800_000_000), next.before());
    }

    #[test]
    fn everything_that_is_wrong_is_noted() {
        let never = Some(Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        });
        let asked = Asked {
            page_size: -1,
            page_token: "%",
            actor_id: Some("x"),
            action: "\0",
            since: never,
            until: never,
        };
        let mut violations = Vec::new();
        assert!(Page::parse(asked, &mut violations).is_none());
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["pageSize", "pageToken", "actorId", "action", "since", "until"]);
    }
}
