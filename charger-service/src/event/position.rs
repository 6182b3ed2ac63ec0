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
}

/// Which database server numbers the transactions, and since which of its restores: of a digest, so that the id of an event does not
/// get long. After a dump was restored, a backup was wound forward, or a standby has taken over, the numbers of transactions that
/// were not saved are given again, and an older position means nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server(u32);

impl Server {
    pub fn of_digest(digest: i32) -> Self {
        Self(digest.cast_unsigned())
    }
}

/// What clients know an event by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    pub server: Server,
    pub position: Position,
}

impl EventId {
    /// The one that a request names in `Last-Event-ID`; none where it has none.
    pub fn told(metadata: &MetadataMap) -> Result<Option<Self>, Vec<FieldViolation>> {
        let Some(told) = metadata.get(HEADER) else {
            return Ok(None);
        };
        let id = told.to_str().ok().and_then(|text| text.parse().ok());
        let problem = || vec![FieldViolation::new("Last-Event-ID", "is not the id of an event")];
        id.map(Some).ok_or_else(problem)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.server.0, self.position.xid, self.position.id)
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id that was given out")]
pub struct NoId;

impl FromStr for EventId {
    type Err = NoId;

    /// In just the spelling in which it is written.
    fn from_str(text: &str) -> Result<Self, NoId> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().ok_or(NoId);
        let (server, xid, number) = (part()?, part()?, part()?);
        let position = Position {
            xid: u64::from_str_radix(xid, 16).map_err(|_| NoId)?,
            id: i64::from_str_radix(number, 16).map_err(|_| NoId)?,
        };
        let id = Self {
            server: Server(u32::from_str_radix(server, 16).map_err(|_| NoId)?),
            position,
        };
        (position.id >= 0 && id.to_string() == text).then_some(id).ok_or(NoId)
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
    type Err = NoId;

    /// As PostgreSQL writes it: `10:20:10,14,15`.
    fn from_str(text: &str) -> Result<Self, NoId> {
        let number = |text: &str| text.parse().map_err(|_| NoId);
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or(NoId);
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
    fn an_id_is_read_as_it_was_written_and_in_no_other_way() {
        let furthest = Position {
            xid: u64::MAX,
            id: i64::MAX,
        };
        for position in [Position::default(), Position { xid: 756, id: 28 }, furthest] {
            for server in [Server(0), Server::of_digest(-1)] {
                let id = EventId { server, position };
                assert_eq!(id.to_string().parse(), Ok(id));
            }
        }
        for text in [
            "",
            "1",
            "1-1",
            "1-1-",
            "-1-1",
            "1-+1-1",
            "+1-1-1",
            "01-1-1",
            "1-1-1-1",
            "1--1-1",
            "1-2F4-1",
            " 1-1-1",
            "g-1-1",
            "100000000-1-1",
            "1-11111111111111111-1",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(NoId), "{text}");
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
