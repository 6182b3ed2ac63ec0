//! A charge point's leave to fetch one file, or to send one: a URL of ours with a token in it, told in the command that asks for it
//! (rule 14 of the OCPP decisions). The token is all that is asked for, so it is kept as a hash, beside the command that has yet to tell it,
//! and good for one file.
//!
//! What has no leave looks the same whatever the cause: unknown, used up and expired are one answer.

mod receive;
mod token;
pub mod url;

pub use self::token::Token;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::database;
use service_kit::reason::Reason;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::transfer_service_server::TransferService;
use voltgate_proto::ocpp::v1::{FetchRequest, LeaveRequest, LeaveResponse};

use self::url::PublicUrl;
use crate::State;
use crate::file::content::{Bodies, Content};
use crate::file::incoming::{chunks, first};
use crate::job::Kind;

/// How transfers are set up.
#[derive(Debug)]
pub struct Transfers {
    /// Where charge points reach the gateway.
    pub public_url: Option<PublicUrl>,
    /// How long a URL is good after the time at which it may first be used.
    pub validity: TimeDelta,
}

/// A leave that goes with a command.
#[derive(Debug)]
pub struct NewTransfer {
    pub token: Token,
    pub kind: Kind,
    /// What it may fetch; nothing where it is to send.
    pub file: Option<Uuid>,
    /// Where the charge point is to wait: until when.
    pub not_before: Option<DateTime<Utc>>,
}

/// Keeps the leave beside its command, which may be sent until `sent_by`.
pub async fn grant(
    connection: &mut PgConnection,
    new: &NewTransfer,
    (charge_point, command): (Uuid, Uuid),
    sent_by: DateTime<Utc>,
    validity: TimeDelta,
) -> Result<(), sqlx::Error> {
    let token_hash = new.token.hash();
    sqlx::query!(
        "INSERT INTO ocpp.transfer (id, token_hash, kind, charge_point_id, command_id, file_id, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        Uuid::now_v7(),
        token_hash.as_slice(),
        new.kind.as_str(),
        charge_point,
        command,
        new.file,
        good_until(new.not_before, sent_by, validity),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Leave for many charge points to fetch one file, each with a token and a command of its own: hash, charge point and command.
pub async fn grant_each(
    connection: &mut PgConnection,
    file: Uuid,
    each: &[([u8; 32], Uuid, Uuid)],
    expires_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = each.iter().map(|_| Uuid::now_v7()).collect();
    let hashes: Vec<&[u8]> = each.iter().map(|(hash, ..)| hash.as_slice()).collect();
    let charge_points: Vec<Uuid> = each.iter().map(|(_, charge_point, _)| *charge_point).collect();
    let commands: Vec<Uuid> = each.iter().map(|(.., command)| *command).collect();
    sqlx::query!(
        "INSERT INTO ocpp.transfer (id, token_hash, kind, charge_point_id, command_id, file_id, expires_at)
         SELECT id, token_hash, $5, charge_point_id, command_id, $6, $7
         FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::uuid[])
             AS each (id, token_hash, charge_point_id, command_id)",
        &ids,
        &hashes as &[&[u8]],
        &charge_points,
        &commands,
        Kind::Firmware.as_str(),
        file,
        expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How long a URL is good: `validity` from when it may first be used.
pub fn good_until(not_before: Option<DateTime<Utc>>, sent_by: DateTime<Utc>, validity: TimeDelta) -> DateTime<Utc> {
    not_before.map_or(sent_by, |begins| begins.max(sent_by)) + validity
}

/// All of the file has gone over. False where it had before.
pub async fn used<'c>(
    executor: impl sqlx::PgExecutor<'c>,
    transfer: Uuid,
    at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let used = sqlx::query!(
        "UPDATE ocpp.transfer SET used_at = $2 WHERE id = $1 AND used_at IS NULL",
        transfer,
        at
    )
    .execute(executor)
    .await?;
    Ok(used.rows_affected() > 0)
}

/// What the token lets nobody do.
#[derive(Debug, Error)]
pub enum FetchError {
    #[error("there is no such leave")]
    NoLeave,
    #[error("the file could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<FetchError> for Status {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::NoLeave => no_leave(),
            FetchError::Database(error) => database::failed(&error),
        }
    }
}

fn no_leave() -> Status {
    Reason::NotFound.status("There is nothing at this address, or not any more")
}

/// The file that the token lets its holder fetch.
async fn fetch(database: &PgPool, token: &str, now: DateTime<Utc>) -> Result<Content, FetchError> {
    let token_hash = token::hash(token);
    let mut connection = database::begin(database).await?;
    let found = sqlx::query!(
        "SELECT transfer.id, file.id AS file, name, size
         FROM ocpp.transfer JOIN ocpp.file ON file.id = file_id
         WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2 AND completed_at IS NOT NULL",
        token_hash.as_slice(),
        now,
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(FetchError::NoLeave)?;
    Ok(Content {
        file: found.file,
        name: found.name,
        size: found.size,
        transfer: Some(found.id),
    })
}

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl TransferService for Grpc {
    type FetchStream = Bodies;

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Bodies>, Status> {
        let content = fetch(&self.0.database, &request.get_ref().token, self.0.clock.now()).await?;
        Ok(content.answer(&self.0, request.metadata())?)
    }

    async fn leave(&self, request: Request<Streaming<LeaveRequest>>) -> Result<Response<LeaveResponse>, Status> {
        let mut messages = request.into_inner();
        let first = first(&mut messages).await?;
        let bytes = chunks(first.body, messages, |message| message.body);
        receive::receive(&self.0, &first.token, &first.file_name, bytes).await?;
        Ok(Response::new(LeaveResponse {}))
    }
}
