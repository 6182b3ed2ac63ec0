//! Firmware that an operator uploads, under a name by which charge points are told to fetch it.

use futures_util::Stream;
use prost::bytes::Bytes;
use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::File;

use super::incoming::{Broken, IncomingError, NewFile, Whole, take_in};
use super::{Busy, list};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::job::Kind;

const LONGEST_NAME: usize = 100;

/// One that is the same in every URL, header and file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub fn parse(text: &str) -> Result<Self, Vec<FieldViolation>> {
        let is_one = (1..=LONGEST_NAME).contains(&text.len())
            && text.starts_with(|letter: char| letter.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if is_one {
            return Ok(Self(text.to_owned()));
        }
        let problem = "must have 1 to 100 letters, digits, dots, underscores and hyphens, a letter or digit first";
        Err(vec![FieldViolation::new("name", problem)])
    }
}

#[derive(Debug, Error)]
pub enum UploadError {
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Incoming(#[from] IncomingError),
    #[error("there are no bytes in it")]
    Empty,
    #[error("another firmware has this name")]
    Exists,
    #[error("the file could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<UploadError> for Status {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Busy(busy) => busy.into(),
            UploadError::Incoming(error) => error.into(),
            UploadError::Empty => service_kit::reason::invalid(vec![FieldViolation::new("$", "must not be empty")]),
            UploadError::Exists => Reason::FileExists.status("There is a firmware of this name with other content"),
            UploadError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn upload(
    state: &State,
    Name(name): Name,
    chunks: impl Stream<Item = Result<Bytes, Broken>> + Unpin,
    author: &Author,
) -> Result<File, UploadError> {
    let _place = state.files.places.enter(None)?;
    let new = NewFile {
        kind: Kind::Firmware,
        name: &name,
        asked: None,
    };
    let whole = take_in(state, &new, chunks).await?;
    let result = settle(state, &name, &whole, author).await;
    match &result {
        Ok(file) if file.id == whole.id.to_string() => whole.keep(),
        // It was here before.
        Ok(_) | Err(_) => whole.forget().await,
    }
    result
}

/// Gives it its name, unless that stands for something already.
async fn settle(state: &State, name: &str, whole: &Whole, author: &Author) -> Result<File, UploadError> {
    if whole.size == 0 {
        return Err(UploadError::Empty);
    }
    let mut transaction = database::begin(&state.database).await?;
    // One at a time: two that come to their end at once must not both find the name free.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('firmware ' || $1))", name)
        .execute(&mut *transaction)
        .await?;
    let same_name = sqlx::query!(
        r#"SELECT id, sha256 AS "sha256!" FROM ocpp.file
           WHERE kind = 'firmware' AND name = $1 AND completed_at IS NOT NULL"#,
        name
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let id = match same_name {
        Some(there) if there.sha256 == whole.sha256 => there.id,
        Some(_) => return Err(UploadError::Exists),
        None => {
            let now = state.clock.now();
            if !whole.complete(&mut transaction, now).await? {
                return Err(IncomingError::Gone.into());
            }
            let entry = Entry::new(Action::FirmwareUploaded, now, author)
                .with("name", Some(name))
                .with("file", Some(whole.id.to_string()))
                .with("sha256", Some(list::hex(&whole.sha256)));
            audit::record(&mut transaction, entry).await?;
            whole.id
        }
    };
    let file = list::read(&mut transaction, id).await?.ok_or(IncomingError::Gone)?;
    transaction.commit().await?;
    Ok(file)
}

/// The firmware of this name.
pub async fn named(connection: &mut PgConnection, name: &str) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM ocpp.file WHERE kind = 'firmware' AND name = $1 AND completed_at IS NOT NULL",
        name
    )
    .fetch_optional(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_wherever_it_is_written() {
        for good in ["fw.bin", "2.4.2_rc-1", &"x".repeat(100)] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".fw",
            "a/b",
            "a b",
            "a%2f",
            "é",
            "a\n",
            &*"x".repeat(101),
        ] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }
}
