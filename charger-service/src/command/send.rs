//! Sends a CALL to a charge point and waits a while for its answer.
//!
//! The payload is held against the specification and sent as it is asked for: whether the charge point will refuse is not
//! guessed at (rule 10 of the OCPP decisions). It waits in the ledger until the charge point is there, or it expires.

use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::TimeDelta;
use ocpp::v1_6::Action;
use serde_json::value::RawValue;
use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use service_kit::trace::{self, SpanKind};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::metadata::MetadataMap;
use uuid::Uuid;
use voltgate_proto::google::api::HttpBody;
use voltgate_proto::ocpp::v1::{Command, SendCommandRequest};

use super::asking::Asking;
use super::call::Call;
use super::ledger::{self, EnqueueError, NewCommand, Room};
use super::status::Status as CommandStatus;
use super::view::{self, Row};
use crate::State;
use crate::audit::Author;
use crate::charge_point::find::{InUseError, in_use};
use crate::job::update_firmware;
use crate::transfer::NewTransfer;

const LONGEST_KEY: usize = 255;

/// By then one that was under way has most likely ended.
const ROOM_AFTER: Duration = Duration::from_secs(30);

const DEFAULT_WAIT: i32 = 30;
/// How long a command may wait for its charge point, in seconds.
pub const EXPIRY: RangeInclusive<i32> = 1..=604_800;
pub const DEFAULT_EXPIRY: i32 = 86_400;

/// How long a request waits for the answer, and its command for the charge point; None as where it is left out of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    pub wait_seconds: Option<i32>,
    pub expires_in_seconds: Option<i32>,
}

/// A command that breaks no rule.
#[derive(Debug)]
pub struct SendCommand {
    identity: String,
    action: &'static str,
    payload: Box<RawValue>,
    wait: Duration,
    expires_in: TimeDelta,
    requested_by: Author,
    idempotency_key: Option<String>,
    /// Told apart from others under the same key by this; by its payload where it is None.
    said: Option<Vec<u8>>,
    transfer: Option<NewTransfer>,
    room: Option<Room>,
}

#[derive(Debug, Error)]
pub enum SendError {
    #[error(transparent)]
    ChargePoint(#[from] InUseError),
    #[error("the idempotency key came with another request")]
    KeyReused,
    #[error("as many commands of the author are under way as may")]
    NoRoom,
    #[error("what was to be fetched is not there any more")]
    FileGone,
    #[error("the command could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<SendError> for Status {
    fn from(error: SendError) -> Self {
        match error {
            SendError::ChargePoint(error) => error.into(),
            SendError::KeyReused => {
                Reason::IdempotencyKeyReused.status("This Idempotency-Key came with another command before")
            }
            SendError::NoRoom => Reason::TooManyRequests.retry_after(
                ROOM_AFTER,
                "As much of what you asked charge points for is under way as may be; wait for some of it",
            ),
            SendError::FileGone => update_firmware::gone(),
            SendError::Database(error) => database::failed(&error),
        }
    }
}

/// Reads the Idempotency-Key of a request.
pub fn idempotency_key(metadata: &MetadataMap) -> Result<Option<String>, Vec<FieldViolation>> {
    let Some(key) = metadata.get("idempotency-key") else {
        return Ok(None);
    };
    match key.to_str() {
        Ok(key) if (1..=LONGEST_KEY).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(vec![FieldViolation::new(
            "Idempotency-Key",
            "must have 1 to 255 ASCII characters",
        )]),
    }
}

impl SendCommand {
    /// Collects what is wrong with every field before it refuses. Faults in the payload carry their JSON path.
    pub fn parse(
        request: SendCommandRequest,
        requested_by: Author,
        idempotency_key: Option<String>,
    ) -> Result<Self, Vec<FieldViolation>> {
        let payload = request.payload.as_ref().map_or(&[][..], |body| &body.data);
        let call = Call::parse(&request.action, payload, "$");
        let mut violations = call.as_ref().err().cloned().unwrap_or_default();
        let wait = request.wait_seconds.unwrap_or(DEFAULT_WAIT);
        let wait = u64::try_from(wait).ok().filter(|seconds| *seconds <= 120);
        if wait.is_none() {
            violations.push(FieldViolation::new("waitSeconds", "must be between 0 and 120"));
        }
        let expires_in = request.expires_in_seconds.unwrap_or(DEFAULT_EXPIRY);
        if !EXPIRY.contains(&expires_in) {
            violations.push(FieldViolation::new("expiresInSeconds", "must be between 1 and 604800"));
        }
        match (call, wait) {
            (Ok(call), Some(wait)) if violations.is_empty() => Ok(Self {
                identity: request.identity,
                action: call.action.as_str(),
                payload: call.payload,
                wait: Duration::from_secs(wait),
                expires_in: TimeDelta::seconds(expires_in.into()),
                requested_by,
                idempotency_key,
                said: None,
                transfer: None,
                room: None,
            }),
            _ => Err(violations),
        }
    }

    /// A command whose payload we have written ourselves.
    pub fn worded(
        identity: String,
        (action, payload): (Action, String),
        asking: Asking,
    ) -> Result<Self, Vec<FieldViolation>> {
        let request = SendCommandRequest {
            identity,
            action: action.as_str().to_owned(),
            payload: Some(HttpBody {
                data: payload.into(),
                ..HttpBody::default()
            }),
            wait_seconds: asking.patience.wait_seconds,
            expires_in_seconds: asking.patience.expires_in_seconds,
        };
        Ok(Self {
            said: Some(asking.said),
            room: asking.room,
            ..Self::parse(request, asking.author, asking.idempotency_key)?
        })
    }

    /// The same with leave for the transfer that it asks for.
    pub fn with_transfer(self, transfer: NewTransfer) -> Self {
        Self {
            transfer: Some(transfer),
            ..self
        }
    }
}

pub async fn send(state: &State, command: SendCommand) -> Result<Command, SendError> {
    // Not held while the charge point takes its time to answer.
    let charge_point = in_use(&mut *database::begin(&state.database).await?, &command.identity).await?;
    let deadline = Instant::now() + command.wait;
    let mut span = trace::child(SpanKind::Internal, || format!("command {}", command.action).into());
    let sent = span.scope(async {
        let id = enqueue(state, charge_point, &command).await?;
        Ok::<_, SendError>((id, outcome(state, id, deadline).await?))
    });
    let (id, row) = sent.await?;
    span.set("voltgate.command.id", || id.to_string());
    span.set("voltgate.command.status", || row.status.clone());
    Ok(row.into())
}

/// The id of the command, or of the one that the same key made before.
async fn enqueue(state: &State, charge_point: Uuid, command: &SendCommand) -> Result<Uuid, SendError> {
    let id = Uuid::now_v7();
    let now = state.clock.now();
    let digest = match &command.said {
        Some(said) => digest_of_said(state, said),
        None => state.passwords.fingerprint(&[
            charge_point.as_bytes(),
            command.action.as_bytes(),
            command.payload.get().as_bytes(),
        ]),
    };
    let new = NewCommand {
        id,
        charge_point,
        identity: &command.identity,
        action: command.action,
        payload: command.payload.get(),
        author: &command.requested_by,
        idempotency_key: command.idempotency_key.as_deref(),
        digest: &digest,
        created_at: now,
        expires_at: now + command.expires_in,
        transfer: command.transfer.as_ref().map(|new| (new, state.transfers.validity)),
        room: command.room,
    };
    state.traced.remember(id, trace::current());
    match ledger::enqueue(&state.database, &new).await {
        Ok(()) => Ok(id),
        Err(EnqueueError::Database(error)) => Err(error.into()),
        Err(EnqueueError::FileGone) => Err(SendError::FileGone),
        Err(EnqueueError::Retired) => Err(InUseError::Retired.into()),
        Err(EnqueueError::NoRoom) => Err(SendError::NoRoom),
        Err(EnqueueError::KeyUsed) => repeated(state, &new).await,
    }
}

/// What was said is told apart from everything else that is said under a key, whichever charge point it means.
fn digest_of_said(state: &State, said: &[u8]) -> [u8; 32] {
    state.passwords.fingerprint(&[said])
}

async fn repeated(state: &State, new: &NewCommand<'_>) -> Result<Uuid, SendError> {
    made_before(state, new.author, new.idempotency_key, new.digest)
        .await?
        .ok_or(SendError::Database(sqlx::Error::RowNotFound))
}

/// The command that a key has made, if it has made one.
async fn made_before(
    state: &State,
    author: &Author,
    idempotency_key: Option<&str>,
    digest: &[u8],
) -> Result<Option<Uuid>, SendError> {
    let mut connection = database::begin(&state.database).await?;
    let before = sqlx::query!(
        "SELECT id, request_digest FROM ocpp.command WHERE requested_by = $1 AND idempotency_key = $2",
        author.to_string(),
        idempotency_key,
    )
    .fetch_optional(&mut *connection)
    .await?;
    match before {
        None => Ok(None),
        Some(before) if before.request_digest == digest => Ok(Some(before.id)),
        Some(_) => Err(SendError::KeyReused),
    }
}

/// What has become of the command that the same request has made before. For requests that mean something else by the time they are
/// repeated: what is looked up for them may have changed.
///
/// # Errors
/// The key came with another request.
pub async fn again(state: &State, asking: &Asking) -> Result<Option<Command>, SendError> {
    let Some(key) = &asking.idempotency_key else {
        return Ok(None);
    };
    let digest = digest_of_said(state, &asking.said);
    let Some(id) = made_before(state, &asking.author, Some(key), &digest).await? else {
        return Ok(None);
    };
    let wait = asking.patience.wait_seconds.unwrap_or(DEFAULT_WAIT);
    let deadline = Instant::now() + Duration::from_secs(u64::try_from(wait).unwrap_or_default());
    Ok(Some(outcome(state, id, deadline).await?.into()))
}

/// The command when it has its outcome, when the time to wait is over, or when this process is told to stop.
async fn outcome(state: &State, id: Uuid, deadline: Instant) -> Result<Row, sqlx::Error> {
    let mut waiting = state.waiters.wait_for(id);
    loop {
        let row = view::find(&state.database, id).await?.ok_or(sqlx::Error::RowNotFound)?;
        let is_final = CommandStatus::parse(&row.status).is_some_and(CommandStatus::is_final);
        if is_final || Instant::now() >= deadline || state.shutdown.is_cancelled() {
            return Ok(row);
        }
        tokio::select! {
            _ = timeout_at(deadline, waiting.woken()) => {}
            () = state.shutdown.cancelled() => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(action: &str, payload: &str) -> SendCommandRequest {
        SendCommandRequest {
            identity: "CP1".to_owned(),
            action: action.to_owned(),
            payload: Some(HttpBody {
                data: payload.to_owned().into(),
                ..HttpBody::default()
            }),
            wait_seconds: None,
            expires_in_seconds: None,
        }
    }

    fn fields(request: SendCommandRequest) -> Vec<String> {
        match SendCommand::parse(request, Author::of(&tonic::Request::new(())), None) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn a_payload_that_matches_is_kept_to_the_letter() {
        let payload = r#"{ "type" : "Hard" }"#;
        let command =
            SendCommand::parse(request("Reset", payload), Author::of(&tonic::Request::new(())), None).unwrap();
        assert_eq!(command.payload.get(), payload);
    }

    #[test]
    fn no_body_is_an_empty_payload() {
        assert_eq!(fields(request("ClearCache", "")), [""; 0]);
        assert_eq!(
            fields(SendCommandRequest {
                payload: None,
                ..request("ClearCache", "")
            }),
            [""; 0]
        );
    }

    #[test]
    fn faults_of_a_payload_carry_their_paths() {
        assert_eq!(
            fields(request("RemoteStartTransaction", r#"{"connectorId":"1"}"#)),
            ["$.connectorId", "$.idTag"]
        );
    }

    #[test]
    fn a_payload_that_is_no_json_or_no_object_is_refused() {
        for payload in ["{", "[]", "12", "\"x\"", "{} {}", "\u{feff}{}"] {
            assert_eq!(fields(request("Reset", payload)), ["$"], "{payload}");
        }
    }

    #[test]
    fn an_action_that_only_a_charge_point_sends_or_nobody_is_refused() {
        for action in ["BootNotification", "reset", "FooBar", ""] {
            assert_eq!(fields(request(action, "{}")), ["action"], "{action}");
        }
    }

    #[test]
    fn waits_out_of_range_are_refused() {
        let wrong = SendCommandRequest {
            wait_seconds: Some(121),
            expires_in_seconds: Some(0),
            ..request("ClearCache", "{}")
        };
        assert_eq!(fields(wrong), ["waitSeconds", "expiresInSeconds"]);
    }
}
