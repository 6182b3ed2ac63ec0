//! The bytes of a file on their way out, a piece at a time: all of them, or a part (RFC 9110, section 14) for whoever goes on where
//! a download broke off.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, stream};
use prost::bytes::Bytes;
use service_kit::database;
use service_kit::reason::Reason;
use sqlx::PgPool;
use thiserror::Error;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Response, Status};
use uuid::Uuid;
use voltgate_proto::google::api::HttpBody;

use super::incoming::PIECE;
use super::{Busy, Place, name};
use crate::State;
use crate::transfer::used;

/// Nobody is to guess what it is.
const MEDIA_TYPE: &str = "application/octet-stream";

pub type Bodies = Pin<Box<dyn Stream<Item = Result<HttpBody, Status>> + Send>>;

/// A file that is there.
#[derive(Debug)]
pub struct Content {
    pub file: Uuid,
    pub name: String,
    pub size: i32,
    /// The transfer that has done what it is for when the last byte has left.
    pub transfer: Option<Uuid>,
}

#[derive(Debug, Error)]
pub enum ContentError {
    #[error("there is no such file")]
    NotFound,
    #[error("the file could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<ContentError> for Status {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::NotFound => Reason::NotFound.status("There is no file of this id"),
            ContentError::Database(error) => database::failed(&error),
        }
    }
}

/// Pieces that are still to come.
struct Rest {
    state: Arc<State>,
    content: Content,
    /// Of the file, in bytes.
    range: Range<usize>,
    place: Place,
}

impl Content {
    /// What is no UUID is the id of no file.
    pub async fn of_file(state: &State, id: &str) -> Result<Self, ContentError> {
        let id = Uuid::parse_str(id).map_err(|_| ContentError::NotFound)?;
        let mut connection = database::begin(&state.database).await?;
        let found = sqlx::query!(
            "SELECT name, size FROM ocpp.file WHERE id = $1 AND completed_at IS NOT NULL",
            id
        )
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(ContentError::NotFound)?;
        Ok(Self {
            file: id,
            name: found.name,
            size: found.size,
            transfer: None,
        })
    }

    /// The answer to a request with these headers.
    ///
    /// # Errors
    /// Too many files are on their way.
    pub fn answer(self, state: &Arc<State>, asked: &MetadataMap) -> Result<Response<Bodies>, Busy> {
        let size = usize::try_from(self.size).unwrap_or_default();
        let part = asked.get("range").and_then(|range| part(range.to_str().ok()?, size));
        let range = part.clone().unwrap_or(0..size);
        let mut said = vec![
            ("accept-ranges", "bytes".to_owned()),
            ("content-disposition", name::disposition(&self.name)),
            ("voltgate-body-length", range.len().to_string()),
        ];
        if let Some(part) = part {
            said.push(("content-range", format!("bytes {}-{}/{size}", part.start, part.end - 1)));
        }
        // Whoever wants to know about it only gets no bytes, and so needs no place and has not read the last one.
        let is_head = asked.get("voltgate-method").is_some_and(|method| method == "HEAD");
        let bodies: Bodies = if is_head || range.is_empty() {
            Box::pin(stream::once(std::future::ready(Ok(body(Bytes::new())))))
        } else {
            let rest = Rest {
                place: state.files.places.enter(self.transfer)?,
                state: Arc::clone(state),
                content: self,
                range,
            };
            Box::pin(stream::unfold(Some(rest), |rest| async { rest?.next().await }))
        };
        let mut response = Response::new(bodies);
        for (name, value) in said {
            if let Ok(value) = MetadataValue::try_from(value) {
                response.metadata_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

impl Rest {
    async fn next(mut self) -> Option<(Result<HttpBody, Status>, Option<Self>)> {
        if self.range.is_empty() {
            self.all_has_left().await;
            return None;
        }
        if self.place.is_lost() {
            return Some((Err(ContentError::NotFound.into()), None));
        }
        let number = self.range.start / PIECE;
        match piece(&self.state.database, self.content.file, number).await {
            Ok(Some(data)) => {
                let begin = number * PIECE;
                let end = self.range.end.min(begin + data.len());
                if end <= self.range.start {
                    let broken = Reason::Internal.status("The file is shorter than it was said to be");
                    return Some((Err(broken), None));
                }
                let part = Bytes::from(data).slice(self.range.start - begin..end - begin);
                let body = body(part);
                self.range.start = end;
                Some((Ok(body), Some(self)))
            }
            // Deleted meanwhile.
            Ok(None) => Some((Err(ContentError::NotFound.into()), None)),
            Err(error) => Some((Err(ContentError::from(error).into()), None)),
        }
    }

    async fn all_has_left(&self) {
        let is_end = usize::try_from(self.content.size) == Ok(self.range.end);
        let Some(transfer) = self.content.transfer.filter(|_| is_end) else {
            return;
        };
        if let Err(error) = used(&self.state.database, transfer, self.state.clock.now()).await {
            // It is good until it expires then.
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "A transfer that was done could not be noted"
            );
        }
    }
}

async fn piece(database: &PgPool, file: Uuid, number: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let number = i32::try_from(number).unwrap_or(i32::MAX);
    sqlx::query_scalar!(
        "SELECT data FROM ocpp.file_chunk WHERE file_id = $1 AND number = $2",
        file,
        number
    )
    .fetch_optional(database)
    .await
}

fn body(data: Bytes) -> HttpBody {
    HttpBody {
        content_type: MEDIA_TYPE.to_owned(),
        data,
        extensions: Vec::new(),
    }
}

/// One part, as in `bytes=100-` or `bytes=100-199`. Whatever else a client asks for, it may be given all (section 14.2).
fn part(range: &str, size: usize) -> Option<Range<usize>> {
    let (first, last) = range.trim().strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.trim().parse().ok()?;
    let last = match last.trim() {
        "" => size.checked_sub(1)?,
        last => last.parse::<usize>().ok()?.min(size.checked_sub(1)?),
    };
    (first <= last).then_some(first..last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_of_the_bytes_can_be_asked_for_and_anything_else_is_not_heeded() {
        for (range, expected) in [
            ("bytes=0-", Some(0..10)),
            ("bytes=4-6", Some(4..7)),
            ("bytes=9-99", Some(9..10)),
            ("bytes=10-", None),
            ("bytes=6-4", None),
            ("bytes=-3", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
            ("bytes=0-18446744073709551615", Some(0..10)),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), None);
    }
}
