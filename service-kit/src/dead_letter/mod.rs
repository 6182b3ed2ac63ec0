//! Dead letters: events that a service could not take in, however often one tries. They keep nothing else waiting, and an administrator
//! decides about them.
//!
//! [`SetAside`] keeps what a service's handler rejects, by whatever bus it came, and a [`Keeper`] takes what the queue itself has set
//! aside. What the queue has set aside is kept byte by byte. What a handler rejects is the event that was read: it is encoded anew, with its
//! data as they came, and without fields of the envelope that this version does not know. What follows from one that is tried once more,
//! and the entry of the audit log about it, is each service's own.
//!
//! The table is the same in every schema that has one; `migrations/ocpp/0050_dead_letters.sql` is the one to copy. SQL here names
//! it without its schema: the search_path of a service's connections leads to its own.

mod decide;
mod keep;
mod list;
mod prune;
mod set_aside;

pub use decide::{delete, lock, note_refusal, parse_id, read};
pub use keep::Keeper;
pub use list::{Page, count, get, list};
pub use prune::prune;
pub use set_aside::SetAside;

use chrono::{DateTime, Utc};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use crate::database;
use crate::reason::Reason;

/// Longest text kept of a reason, a type or a source, in characters.
const LONGEST: usize = 500;

/// A row of the table.
#[derive(Debug)]
pub struct DeadLetter {
    pub id: Uuid,
    /// Of the event, as far as it can be read; so are the next two.
    pub event_id: Option<Uuid>,
    pub kind: Option<String>,
    pub source: Option<String>,
    /// The envelope, encoded, or whatever came in its place. Empty in a list, and of one that was deleted.
    pub body: Vec<u8>,
    /// Why it was set aside.
    pub reason: String,
    /// How often somebody has had it tried once more, in vain.
    pub redrives: i32,
    pub died_at: DateTime<Utc>,
}

#[derive(Debug, Error)]
pub enum DeadLetterError {
    #[error("there is no such dead letter")]
    NotFound,
    #[error("it still cannot be taken in: {0}")]
    Unreadable(String),
    #[error("dead letters could not be read or written")]
    Database(#[from] sqlx::Error),
}

impl From<DeadLetterError> for Status {
    fn from(error: DeadLetterError) -> Self {
        match error {
            DeadLetterError::NotFound => Reason::NotFound.status("There is no dead letter of this id"),
            DeadLetterError::Unreadable(why) => {
                Reason::DeadLetterUnreadable.status(format!("It still cannot be taken in: {why}"))
            }
            DeadLetterError::Database(error) => database::failed(&error),
        }
    }
}

/// What PostgreSQL takes of a text that is anybody's.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_text_has_no_null_and_an_end() {
        assert_eq!(text("its id is nul\0"), "its id is nul\u{fffd}");
        assert_eq!(text(&"é".repeat(LONGEST + 1)), "é".repeat(LONGEST));
    }
}
