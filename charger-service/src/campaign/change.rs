//! A campaign that is being changed: its row, locked, and the one way in which that changes. Operators and replicas go one after the
//! other.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use service_kit::database;
use service_kit::reason::Reason;
use service_kit::version::{self, IfMatch};
use sqlx::PgConnection;
use sqlx::types::Json;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::decision::Position;
use super::list::{self, GetError};
use super::pace::{Limit, Pace, Scope};
use super::stage::{PauseReason, Stage};
use crate::audit::{Action, Author, Entry};
use crate::command::ledger::bulk;
use crate::event::Kind;
use crate::job::firmware_order::Order;

/// Why an operator changes nothing.
#[derive(Debug, Error)]
pub enum ChangeError {
    #[error("the campaign is over")]
    Over,
    #[error("the campaign's state has changed meanwhile")]
    Changed,
    #[error(transparent)]
    Get(#[from] GetError),
    #[error("the campaign could not be changed")]
    Database(#[from] sqlx::Error),
}

impl From<ChangeError> for Status {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Over => Reason::CampaignOver.status("The campaign was completed or canceled before"),
            ChangeError::Changed => version::changed(),
            ChangeError::Get(error) => error.into(),
            ChangeError::Database(error) => database::failed(&error),
        }
    }
}

/// A row of `ocpp.campaign`, locked until the transaction ends.
#[derive(Debug)]
pub struct Present {
    pub id: Uuid,
    name: String,
    pub action: String,
    pub payload: Option<Json<Box<RawValue>>>,
    pub firmware: Option<Json<Order>>,
    pub file_id: Option<Uuid>,
    canary_size: i32,
    pause_after_canary: bool,
    canary_confirmed: bool,
    wave_size: i32,
    max_failures: Option<i32>,
    max_failure_percent: Option<i32>,
    failures_of: String,
    failures_forgiven: i64,
    expires_in_seconds: i32,
    state: String,
    pause_reason: Option<String>,
    wave: i32,
    waves: i32,
    pub created_by: String,
    pub actor_id: Option<Uuid>,
    revision: i64,
}

/// One text for both ways to lock it.
macro_rules! select {
    ($condition:tt, $id:expr) => {
        sqlx::query_as!(
            Present,
            r#"SELECT id, name, action, payload AS "payload: Json<Box<RawValue>>", firmware AS "firmware: Json<Order>",
                   file_id, canary_size, pause_after_canary, canary_confirmed, wave_size, max_failures,
                   max_failure_percent, failures_of, failures_forgiven, expires_in_seconds, state, pause_reason, wave,
                   waves, created_by, actor_id, revision
               FROM ocpp.campaign "# + $condition,
            $id
        )
    };
}

/// For an operator, in the version that they have seen.
pub async fn lock(connection: &mut PgConnection, id: &str, if_match: &IfMatch) -> Result<Present, ChangeError> {
    let present = select!("WHERE id = $1 FOR UPDATE", list::parse_id(id)?)
        .fetch_optional(connection)
        .await?
        .ok_or(GetError::NotFound)?;
    match if_match.revisions() {
        Some(revisions) if !revisions.contains(&present.revision) => Err(ChangeError::Changed),
        Some(_) | None => Ok(present),
    }
}

/// For a replica, if it is running and nobody else is at it.
pub async fn lock_running(connection: &mut PgConnection, id: Uuid) -> Result<Option<Present>, sqlx::Error> {
    select!("WHERE id = $1 AND state = 'running' FOR UPDATE SKIP LOCKED", id)
        .fetch_optional(connection)
        .await
}

impl Present {
    /// None for one that only a later release knows.
    pub fn stage(&self) -> Option<Stage> {
        Stage::parse(&self.state)
    }

    pub fn pause_reason(&self) -> Option<PauseReason> {
        self.pause_reason.as_deref().and_then(PauseReason::parse)
    }

    pub fn pace(&self) -> Pace {
        Pace {
            canary_size: self.canary_size,
            pause_after_canary: self.pause_after_canary,
            wave_size: self.wave_size,
            limit: Limit::read(self.max_failures, self.max_failure_percent),
            scope: Scope::parse(&self.failures_of).unwrap_or(Scope::Wave),
            expires_in_seconds: self.expires_in_seconds,
        }
    }

    pub fn position(&self) -> Position {
        Position {
            wave: self.wave,
            waves: self.waves,
            canary_confirmed: self.canary_confirmed,
            forgiven: self.failures_forgiven,
        }
    }

    /// For the audit log.
    pub fn entry<'a>(&self, action: Action, at: DateTime<Utc>, author: &'a Author) -> Entry<'a> {
        Entry::new(action, at, author)
            .with("campaign", Some(self.id.to_string()))
            .with("name", Some(self.name.as_str()))
    }
}

/// Why it is paused, and what there is to say about it.
pub type Paused<'a> = (PauseReason, Option<&'a str>);

/// Where it goes. Its event is told, and those who read it before have another version, unless only its wave is another.
pub async fn enter(
    connection: &mut PgConnection,
    campaign: Uuid,
    stage: Stage,
    paused: Option<Paused<'_>>,
    position: Position,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (reason, note) = match paused {
        Some((reason, note)) => (Some(reason), note),
        None => (None, None),
    };
    sqlx::query!(
        "WITH entered AS (
             UPDATE ocpp.campaign
             SET state = $2, pause_reason = $3, pause_note = $4, wave = $5, canary_confirmed = $6, failures_forgiven = $7,
                 changed_at = $8, finished_at = CASE WHEN $9 THEN $8::timestamptz END,
                 revision = CASE WHEN state = $2 THEN revision ELSE nextval('ocpp.revision') END
             WHERE id = $1
             RETURNING id, name, state, pause_reason, wave, waves)
         INSERT INTO ocpp.event (at, type, data)
         SELECT $8, $10, json_build_object('campaignId', id, 'name', name, 'state', state, 'pauseReason', pause_reason,
             'wave', wave, 'waves', waves)
         FROM entered",
        campaign,
        stage.as_str(),
        reason.map(PauseReason::as_str),
        note,
        position.wave,
        position.canary_confirmed,
        position.forgiven,
        now,
        stage.is_over(),
        Kind::CampaignState.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Pauses it: what has not been sent yet is taken back, and its charge points wait for another command.
pub async fn halt(
    connection: &mut PgConnection,
    present: &Present,
    paused: Paused<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let why = "the campaign was paused before it could be sent";
    let withdrawn = bulk::withdraw(connection, present.id, present.firmware.is_some(), why, now).await?;
    sqlx::query!(
        "UPDATE ocpp.campaign_target SET state = 'waiting', command_id = NULL, changed_at = $2
         WHERE command_id = ANY($1)",
        &withdrawn,
        now,
    )
    .execute(&mut *connection)
    .await?;
    let position = present.position();
    enter(connection, present.id, Stage::Paused, Some(paused), position, now).await
}
