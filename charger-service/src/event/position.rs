//! Where a listener is among the events.

use std::fmt;
use std::str::FromStr;

use service_kit::reason::FieldViolation;
use tonic::metadata::MetadataMap;

const HEADER: &str = "last-event-id";

/// After an event, and before the next.
///
/// Events are in the order of the transactions that wrote them, and within one in the order of their numbers. Numbers alone
/// would not do: they are given before a commit, so one that is smaller may become visible later, and who had read on would
/// never see it. Of transactions it is known which are the oldest still open (`pg_snapshot_xmin`), and up to there the order is
/// complete. It is the database's own, so it means the same at every replica and after every restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// PostgreSQL's number of the transaction, which never comes round again (`xid8`).
    pub xid: u64,
    /// Numbers begin with 1.
    pub id: i64,
}

impl Position {
    /// Before all that a transaction, and those after it, have written.
    pub fn before(xid: u64) -> Self {
        Self { xid, id: 0 }
    }

    /// The one that a request names in `Last-Event-ID`; none where it has none.
    pub fn told(metadata: &MetadataMap) -> Result<Option<Self>, Vec<FieldViolation>> {
        let Some(told) = metadata.get(HEADER) else {
            return Ok(None);
        };
        let position = told.to_str().ok().and_then(|text| text.parse().ok());
        let problem = || vec![FieldViolation::new("Last-Event-ID", "is not the id of an event")];
        position.map(Some).ok_or_else(problem)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.xid, self.id)
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position that was given out")]
pub struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    /// In just the spelling in which it is written.
    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (xid, id) = text.split_once('-').ok_or(NoPosition)?;
        let position = Self {
            xid: u64::from_str_radix(xid, 16).map_err(|_| NoPosition)?,
            id: i64::from_str_radix(id, 16).map_err(|_| NoPosition)?,
        };
        (position.id >= 0 && position.to_string() == text)
            .then_some(position)
            .ok_or(NoPosition)
    }
}

/// Which transactions were over at a moment (`pg_snapshot`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// All before this one were over.
    pub xmin: u64,
    /// This one and those after it had not begun.
    pub xmax: u64,
    /// Those in between that were open.
    open: Vec<u64>,
}

impl Snapshot {
    /// What a transaction has written could be seen then, if it was committed.
    pub fn has_seen(&self, xid: u64) -> bool {
        xid < self.xmax && !self.open.contains(&xid)
    }
}

impl FromStr for Snapshot {
    type Err = NoPosition;

    /// As PostgreSQL writes it: `10:20:10,14,15`.
    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let number = |text: &str| text.parse().map_err(|_| NoPosition);
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or(NoPosition);
        let (xmin, xmax, open) = (part()?, part()?, part()?);
        let open = open.split(',').filter(|xid| !xid.is_empty()).map(number);
        Ok(Self {
            xmin: number(xmin)?,
            xmax: number(xmax)?,
            open: open.collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written_and_in_no_other_way() {
        for position in [
            Position::default(),
            Position { xid: 756, id: 28 },
            Position {
                xid: u64::MAX,
                id: i64::MAX,
            },
        ] {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for text in [
            "",
            "1",
            "1-",
            "-1",
            "1-+1",
            "+1-1",
            "01-1",
            "1-1-1",
            "1--1",
            "2F4-1",
            " 1-1",
            "g-1",
            "11111111111111111-1",
        ] {
            assert_eq!(text.parse::<Position>(), Err(NoPosition), "{text}");
        }
    }

    #[test]
    fn a_later_transaction_comes_after_all_of_an_earlier_one() {
        let at = |xid, id| Position { xid, id };
        assert!(at(7, 100) < at(8, 3));
        assert!(at(8, 3) < at(8, 4));
        assert!(Position::before(8) < at(8, 1));
    }

    #[test]
    fn a_snapshot_knows_what_was_open() {
        let snapshot: Snapshot = "10:20:10,14,15".parse().unwrap();
        assert_eq!((snapshot.xmin, snapshot.xmax), (10, 20));
        let seen: Vec<u64> = (8..22).filter(|xid| snapshot.has_seen(*xid)).collect();
        assert_eq!(seen, [8, 9, 11, 12, 13, 16, 17, 18, 19]);
        let quiet: Snapshot = "10:10:".parse().unwrap();
        assert!(quiet.has_seen(9) && !quiet.has_seen(10));
        assert!("10:20".parse::<Snapshot>().is_err());
    }
}
