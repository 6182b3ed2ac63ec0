//! A file that comes in, piece by piece. Each piece is committed by itself, for a charge point may take an hour over a slow line, and
//! no connection of the database is held meanwhile. What never becomes complete is deleted.

use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt as _, stream};
use prost::bytes::Bytes;
use service_kit::clock::SharedClock;
use service_kit::database;
use service_kit::reason::Reason;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tonic::{Status, Streaming};
use uuid::Uuid;
use voltgate_proto::google::api::HttpBody;

use crate::State;
use crate::job::Kind;

/// How many bytes a piece has, all but the last one of a file.
pub const PIECE: usize = 256 * 1024;

/// After so many pieces it is looked again whether there is room: 4 MiB.
const LOOK_EVERY: i32 = 16;

/// How long a sender may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// A file that is about to come in.
#[derive(Debug)]
pub struct NewFile<'a> {
    pub kind: Kind,
    pub name: &'a str,
    /// Charge point and command, of what was asked for.
    pub asked: Option<(Uuid, Uuid)>,
}

/// What there is of a file, until somebody says that it is to be kept.
#[derive(Debug)]
struct Leftover {
    file: Uuid,
    database: PgPool,
    tasks: TaskTracker,
    is_wanted: bool,
}

/// Part of it is here.
struct Incoming {
    leftover: Leftover,
    clock: SharedClock,
    largest: i32,
    total: i64,
    size: i32,
    /// Pieces that are stored.
    stored: i32,
    piece: Vec<u8>,
    digest: Sha256,
}

/// All of it is here, and nobody knows yet.
#[derive(Debug)]
pub struct Whole {
    leftover: Leftover,
    pub id: Uuid,
    pub size: i32,
    pub sha256: Vec<u8>,
}

/// Its sender does not send all of it.
#[derive(Debug, Error)]
pub enum Broken {
    #[error("the sender broke off")]
    BrokeOff,
    #[error("the sender fell silent")]
    Silent,
}

impl From<Broken> for Status {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::BrokeOff => Reason::InvalidRequest.status("The file broke off"),
            Broken::Silent => Reason::RequestTimeout.status("The file did not arrive in time"),
        }
    }
}

#[derive(Debug, Error)]
pub enum IncomingError {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("the file is larger than {0} bytes")]
    TooLarge(i32),
    #[error("there is no room for more files")]
    Full,
    #[error("the file was deleted while it came in")]
    Gone,
    #[error("the file could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<IncomingError> for Status {
    fn from(error: IncomingError) -> Self {
        match error {
            IncomingError::Broken(broken) => broken.into(),
            IncomingError::TooLarge(largest) => {
                Reason::PayloadTooLarge.status(format!("A file may have {largest} bytes"))
            }
            IncomingError::Full => {
                Reason::StorageFull.status("There is no room for more files; older ones can be deleted")
            }
            IncomingError::Gone => Reason::NotFound.status("The file is not wanted any more"),
            IncomingError::Database(error) => database::failed(&error),
        }
    }
}

/// The first message of such a stream, which says what it is about.
///
/// # Errors
/// None comes in time.
pub async fn first<M: Default>(messages: &mut Streaming<M>) -> Result<M, Status> {
    match timeout(SILENCE, messages.message()).await {
        Ok(message) => Ok(message?.unwrap_or_default()),
        Err(_) => Err(Broken::Silent.into()),
    }
}

/// The bytes of a stream of messages whose first one was read.
pub fn chunks<M: Send + 'static>(
    first: Option<HttpBody>,
    messages: Streaming<M>,
    body: fn(M) -> Option<HttpBody>,
) -> Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>> {
    let data = |body: Option<HttpBody>| body.unwrap_or_default().data;
    let first = stream::once(std::future::ready(Ok::<_, Broken>(data(first))));
    let rest = stream::unfold(Some(messages), move |messages| async move {
        let mut messages = messages?;
        match timeout(SILENCE, messages.message()).await {
            Ok(Ok(Some(message))) => Some((Ok(data(body(message))), Some(messages))),
            Ok(Ok(None)) => None,
            Ok(Err(_)) => Some((Err(Broken::BrokeOff), None)),
            Err(_) => Some((Err(Broken::Silent), None)),
        }
    });
    Box::pin(first.chain(rest))
}

/// Takes a file in, all of it or nothing.
pub async fn take_in(
    state: &State,
    new: &NewFile<'_>,
    mut chunks: impl Stream<Item = Result<Bytes, Broken>> + Unpin,
) -> Result<Whole, IncomingError> {
    let mut incoming = Incoming::begin(state, new).await?;
    let all = async {
        while let Some(chunk) = chunks.next().await {
            incoming.add(&chunk?).await?;
        }
        incoming.end().await
    };
    match all.await {
        Ok((size, sha256)) => Ok(Whole {
            id: incoming.leftover.file,
            leftover: incoming.leftover,
            size,
            sha256,
        }),
        Err(error) => {
            incoming.leftover.forget().await;
            Err(error)
        }
    }
}

impl Leftover {
    async fn forget(mut self) {
        forget(&self.database, self.file).await;
        self.is_wanted = true;
    }
}

impl Drop for Leftover {
    /// The call is gone, since its client is.
    fn drop(&mut self) {
        if self.is_wanted || Handle::try_current().is_err() {
            return;
        }
        let (database, file) = (self.database.clone(), self.file);
        self.tasks.spawn(async move { forget(&database, file).await });
    }
}

/// Deletes what there is of a file that nobody will have. Where that fails, it is done some time later.
async fn forget(database: &PgPool, file: Uuid) {
    let deleted = sqlx::query!("DELETE FROM ocpp.file WHERE id = $1 AND completed_at IS NULL", file)
        .execute(database)
        .await;
    if let Err(error) = deleted {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "What is left of a broken upload could not be deleted yet"
        );
    }
}

impl Incoming {
    /// A newer attempt takes the place of one that has not come to its end.
    async fn begin(state: &State, new: &NewFile<'_>) -> Result<Self, IncomingError> {
        let id = Uuid::now_v7();
        let mut transaction = database::begin(&state.database).await?;
        if let Some((_, command)) = new.asked {
            sqlx::query!(
                "DELETE FROM ocpp.file WHERE command_id = $1 AND completed_at IS NULL",
                command
            )
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query!(
            "INSERT INTO ocpp.file (id, kind, name, charge_point_id, command_id, touched_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            id,
            new.kind.as_str(),
            new.name,
            new.asked.map(|(charge_point, _)| charge_point),
            new.asked.map(|(_, command)| command),
            state.clock.now(),
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Self {
            leftover: Leftover {
                file: id,
                database: state.database.clone(),
                tasks: state.tasks.clone(),
                is_wanted: false,
            },
            clock: state.clock.clone(),
            largest: state.files.largest,
            total: state.files.total,
            size: 0,
            stored: 0,
            piece: Vec::with_capacity(PIECE),
            digest: Sha256::new(),
        })
    }

    async fn add(&mut self, mut chunk: &[u8]) -> Result<(), IncomingError> {
        let longer = i32::try_from(chunk.len())
            .ok()
            .and_then(|more| self.size.checked_add(more));
        self.size = longer
            .filter(|size| *size <= self.largest)
            .ok_or(IncomingError::TooLarge(self.largest))?;
        self.digest.update(chunk);
        while !chunk.is_empty() {
            let (now, later) = chunk.split_at(chunk.len().min(PIECE - self.piece.len()));
            self.piece.extend_from_slice(now);
            chunk = later;
            if self.piece.len() == PIECE {
                self.store().await?;
            }
        }
        Ok(())
    }

    /// Size and digest of all.
    async fn end(&mut self) -> Result<(i32, Vec<u8>), IncomingError> {
        if !self.piece.is_empty() {
            self.store().await?;
        }
        Ok((self.size, self.digest.finalize_reset().to_vec()))
    }

    async fn store(&mut self) -> Result<(), IncomingError> {
        let length = i32::try_from(self.piece.len()).unwrap_or(i32::MAX);
        if self.stored % LOOK_EVERY == 0 {
            self.check_room(length).await?;
        }
        let stored = sqlx::query!(
            "WITH grown AS (
                 UPDATE ocpp.file SET size = size + $4::integer, touched_at = $5
                 WHERE id = $1 AND completed_at IS NULL
                 RETURNING id)
             INSERT INTO ocpp.file_chunk (file_id, number, data) SELECT id, $2, $3 FROM grown",
            self.leftover.file,
            self.stored,
            self.piece.as_slice(),
            length,
            self.clock.now(),
        )
        .execute(&self.leftover.database)
        .await?;
        if stored.rows_affected() == 0 {
            return Err(IncomingError::Gone);
        }
        self.stored += 1;
        self.piece.clear();
        Ok(())
    }

    /// It goes over all files, so not for every piece; what comes in meanwhile may be a few MiB more than there is room for.
    async fn check_room(&self, length: i32) -> Result<(), IncomingError> {
        let taken = sqlx::query_scalar!(r#"SELECT coalesce(sum(size), 0) AS "taken!" FROM ocpp.file"#)
            .fetch_one(&self.leftover.database)
            .await?;
        if taken + i64::from(length) > self.total {
            return Err(IncomingError::Full);
        }
        Ok(())
    }
}

impl Whole {
    /// It is committed.
    pub fn keep(mut self) {
        self.leftover.is_wanted = true;
    }

    /// Nobody will have it.
    pub async fn forget(self) {
        self.leftover.forget().await;
    }

    /// From now on it is there. False where it was deleted meanwhile.
    pub async fn complete(&self, connection: &mut PgConnection, at: DateTime<Utc>) -> Result<bool, sqlx::Error> {
        let completed = sqlx::query!(
            "UPDATE ocpp.file SET completed_at = $2, sha256 = $3 WHERE id = $1 AND completed_at IS NULL",
            self.id,
            at,
            self.sha256.as_slice(),
        )
        .execute(connection)
        .await?;
        Ok(completed.rows_affected() > 0)
    }
}
