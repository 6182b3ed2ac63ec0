//! A charge point leaves the file that it was asked for. Its leave is used up in the transaction that makes the file whole; one that
//! breaks off can be sent again from its beginning.

use futures_util::Stream;
use prost::bytes::Bytes;
use service_kit::database;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::{no_leave, token, used};
use crate::State;
use crate::file::Busy;
use crate::file::incoming::{Broken, IncomingError, NewFile, Whole, take_in};
use crate::file::name;
use crate::job::Kind;

#[derive(Debug, Error)]
pub enum ReceiveError {
    #[error("there is no such leave")]
    NoLeave,
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Incoming(#[from] IncomingError),
    #[error("the file could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<ReceiveError> for Status {
    fn from(error: ReceiveError) -> Self {
        match error {
            // By a newer attempt.
            ReceiveError::NoLeave | ReceiveError::Incoming(IncomingError::Gone) => no_leave(),
            ReceiveError::Busy(busy) => busy.into(),
            ReceiveError::Incoming(error) => error.into(),
            ReceiveError::Database(error) => database::failed(&error),
        }
    }
}

struct Leave {
    id: Uuid,
    kind: Kind,
    charge_point: Uuid,
    command: Uuid,
}

pub async fn receive(
    state: &State,
    token: &str,
    file_name: &str,
    chunks: impl Stream<Item = Result<Bytes, Broken>> + Unpin,
) -> Result<(), ReceiveError> {
    let leave = leave(state, token).await?;
    let place = state.files.places.enter(Some(leave.id))?;
    let name = name::from_station(file_name);
    let new = NewFile {
        kind: leave.kind,
        name: &name,
        asked: Some((leave.charge_point, leave.command)),
    };
    let whole = tokio::select! {
        biased;
        () = place.lost() => return Err(IncomingError::Gone.into()),
        whole = take_in(state, &new, chunks) => whole?,
    };
    let received = settle(state, &leave, &whole).await;
    match &received {
        Ok(()) => {
            let (kind, bytes) = (leave.kind.as_str(), whole.size);
            tracing::info!(kind, bytes, "A charge point has sent a file");
            whole.keep();
        }
        Err(_) => whole.forget().await,
    }
    received
}

/// Before anything is read, so that a stranger's bytes need not come in.
async fn leave(state: &State, token: &str) -> Result<Leave, ReceiveError> {
    let token_hash = token::hash(token);
    let mut connection = database::begin(&state.database).await?;
    let found = sqlx::query!(
        "SELECT id, kind, charge_point_id, command_id FROM ocpp.transfer
         WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2 AND file_id IS NULL",
        token_hash.as_slice(),
        state.clock.now(),
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(ReceiveError::NoLeave)?;
    Ok(Leave {
        id: found.id,
        kind: Kind::parse(&found.kind).ok_or(ReceiveError::NoLeave)?,
        charge_point: found.charge_point_id,
        command: found.command_id,
    })
}

async fn settle(state: &State, leave: &Leave, whole: &Whole) -> Result<(), ReceiveError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    if !used(&mut *transaction, leave.id, now).await? {
        return Err(ReceiveError::NoLeave);
    }
    if !whole.complete(&mut transaction, now).await? {
        return Err(IncomingError::Gone.into());
    }
    transaction.commit().await?;
    Ok(())
}
