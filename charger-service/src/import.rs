//! Many new things at once, from a file. It is read whole and checked whole, every error of every row is told, and then all of it
//! is stored or nothing (docs/import.md).

mod faults;
mod incoming;
mod keys;
mod lines;
mod record;
pub mod row;
mod sheet;

pub use self::faults::Faults;
pub use self::incoming::{ImportError, take_in};
pub use self::keys::keys;
pub use self::record::{Done, RecordError, earlier, keep, prune};

use std::sync::Arc;
use std::time::Duration;

use service_kit::reason::Reason;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use uuid::Uuid;

use self::row::Row;
use crate::audit::Author;

/// A file may have this many rows.
const MOST_ROWS: usize = 10_000;

/// Imports that one replica works on at a time. Each takes some ten times its file of memory.
const AT_ONCE: usize = 4;

/// When one that somebody else was in the way of should try again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How many imports there may be.
#[derive(Debug)]
pub struct Places(Arc<Semaphore>);

impl Places {
    fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// What rows of one kind may have.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// What a row is, as the rest of a sentence.
    pub of: &'static str,
    /// What no row can do without.
    pub required: &'static str,
    /// The others, by the names that the API has for them.
    pub others: &'static [&'static str],
    /// What exports have, and an import leaves alone.
    pub ignored: &'static [&'static str],
}

/// A file, and how it is to be taken.
#[derive(Debug)]
pub struct Import {
    /// What was made of it refers to it.
    pub id: Uuid,
    pub author: Author,
    pub idempotency_key: Option<String>,
    /// Tells the same file from another one under the same key.
    pub digest: [u8; 32],
    /// It is checked, and nothing is stored.
    pub dry_run: bool,
    pub rows: Vec<Row>,
    /// What is wrong with it so far.
    pub faults: Faults,
    _place: OwnedSemaphorePermit,
}

impl Fields {
    /// The field that a column or a member stands for. None for one that is left alone.
    ///
    /// # Errors
    /// There is no such field; the rest of a sentence that starts with it.
    fn named(self, name: &str) -> Result<Option<&'static str>, String> {
        let known = [&self.required].into_iter().chain(self.others);
        match known.into_iter().find(|known| **known == name) {
            Some(known) => Ok(Some(known)),
            None if self.ignored.contains(&name) => Ok(None),
            None => Err(format!("is no field of {}", self.of)),
        }
    }
}

/// Why nothing was stored.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("the rows cannot be stored")]
    Faulty(Faults),
    #[error("somebody else has made or deleted what the rows go by")]
    Meanwhile,
    #[error(transparent)]
    Record(RecordError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            // Unique and foreign keys: all of them were looked at before.
            Some("23505" | "23503") => Self::Meanwhile,
            _ => Self::Record(error.into()),
        }
    }
}

impl From<RecordError> for StoreError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Faulty(faults) => faults.into(),
            StoreError::Meanwhile => Reason::Unavailable.retry_after(
                AGAIN_AFTER,
                "Somebody else has changed what the file goes by; try again",
            ),
            StoreError::Record(error) => error.into(),
        }
    }
}

impl Import {
    /// How many rows there are, where nothing is wrong with any.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&mut self) -> Result<i32, StoreError> {
        if self.faults.is_empty() {
            Ok(self.done().rows)
        } else {
            Err(StoreError::Faulty(std::mem::take(&mut self.faults)))
        }
    }

    /// What comes of it when all is stored.
    fn done(&self) -> Done {
        Done {
            rows: i32::try_from(self.rows.len()).unwrap_or(i32::MAX),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests {
    use super::*;

    /// A row may have all that a request and an answer of the API have, and what an answer alone has is left alone.
    pub fn covers(fields: Fields, request: &str, answer: &str) {
        let members = |name: &str| -> Vec<String> {
            let message = voltgate_proto::pool().get_message_by_name(&format!("voltgate.ocpp.v1.{name}"));
            message
                .unwrap()
                .fields()
                .map(|field| field.json_name().to_owned())
                .collect()
        };
        for name in members(request) {
            assert!(matches!(fields.named(&name), Ok(Some(_))), "{name}");
        }
        let requested = members(request);
        for name in members(answer) {
            let is_taken = fields.named(&name).unwrap().is_some();
            assert_eq!(is_taken, requested.contains(&name), "{name}");
        }
    }

    pub const THINGS: Fields = Fields {
        of: "a thing",
        required: "name",
        others: &["size", "tags"],
        ignored: &["id"],
    };
}
