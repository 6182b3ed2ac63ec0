//! What every decision about a stray has in common: it is taken once, by one operator at a time, and told of in the audit log.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use sqlx::PgConnection;
use sqlx::types::Json;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::Fate;
use crate::audit::{self, Action, Author, Entry};
use crate::transaction::correct::Earlier;
use crate::transaction::owned::Mismatch;
use crate::unmatched::Kind;

/// Why something is not decided.
#[derive(Debug, Error)]
pub(super) enum SettleError {
    #[error("there is no such stray")]
    NotFound,
    #[error("the stray is {} already", .0.as_str())]
    Settled(Fate),
    #[error("there is no such transaction")]
    UnknownTransaction,
    #[error("the stray {0}")]
    Misfit(&'static str),
    #[error("the stray could not be dealt with")]
    Database(#[from] sqlx::Error),
}

impl From<SettleError> for Status {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::NotFound => Reason::NotFound.status("There is no stray of this id"),
            SettleError::Settled(fate) => {
                Reason::StraySettled.status(format!("The stray has been {} before, and otherwise", fate.as_str()))
            }
            SettleError::UnknownTransaction => Reason::NotFound.status("There is no transaction of this id"),
            SettleError::Misfit(problem) => Reason::StrayMisfit.status(format!("The stray {problem}")),
            SettleError::Database(error) => database::failed(&error),
        }
    }
}

impl From<Mismatch> for SettleError {
    fn from(mismatch: Mismatch) -> Self {
        match mismatch {
            Mismatch::UnknownTransaction => Self::UnknownTransaction,
            Mismatch::OtherChargePoint => Self::Misfit("is of another charge point than the transaction"),
            Mismatch::AlreadyStopped => {
                Self::Misfit("tells of a stop, and the transaction was stopped otherwise; merge it")
            }
        }
    }
}

/// The transaction that an operator names.
pub(super) fn transaction_id(told: i32) -> Result<i32, Vec<FieldViolation>> {
    if told < 1 {
        return Err(vec![FieldViolation::new(
            "transactionId",
            "must be between 1 and 2147483647",
        )]);
    }
    Ok(told)
}

/// A stray that nobody else can decide about meanwhile.
pub(super) struct Locked {
    pub id: Uuid,
    pub charge_point: Uuid,
    pub identity: String,
    pub kind: Kind,
    pub payload: Box<RawValue>,
    pub received_at: DateTime<Utc>,
    pub fate: Fate,
    pub transaction_id: Option<i32>,
    pub note: Option<String>,
}

impl Locked {
    /// Whether just this has been decided before.
    pub fn is_already(&self, fate: Fate, transaction_id: i32) -> bool {
        self.fate == fate && self.transaction_id == Some(transaction_id)
    }

    /// What was applied cannot be applied again. A dismissal moves nothing, and can be thought better of.
    pub fn check_not_applied(&self) -> Result<(), SettleError> {
        match self.fate {
            Fate::Open | Fate::Dismissed => Ok(()),
            Fate::Attached | Fate::Merged => Err(SettleError::Settled(self.fate)),
        }
    }
}

/// What is no UUID is the id of no stray.
pub(super) async fn lock(connection: &mut PgConnection, id: &str) -> Result<Locked, SettleError> {
    let id = Uuid::parse_str(id).map_err(|_| SettleError::NotFound)?;
    let row = sqlx::query!(
        "SELECT charge_point_id, identity, kind, payload, received_at, state, transaction_id, note
         FROM ocpp.unmatched JOIN ocpp.charge_point ON charge_point.id = charge_point_id
         WHERE unmatched.id = $1 FOR UPDATE OF unmatched",
        id,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(SettleError::NotFound)?;
    let unreadable = |what: &str| SettleError::Database(sqlx::Error::Decode(format!("a stray has no {what}").into()));
    Ok(Locked {
        id,
        charge_point: row.charge_point_id,
        identity: row.identity,
        kind: Kind::parse(&row.kind).ok_or_else(|| unreadable("known kind"))?,
        payload: RawValue::from_string(row.payload).map_err(|_| unreadable("payload in JSON"))?,
        received_at: row.received_at,
        fate: Fate::parse(&row.state).ok_or_else(|| unreadable("known state"))?,
        transaction_id: row.transaction_id,
        note: row.note,
    })
}

/// A decision.
pub(super) struct Settlement<'a> {
    pub fate: Fate,
    pub transaction_id: Option<i32>,
    pub note: Option<&'a str>,
    pub replaced: Option<&'a Earlier>,
}

pub(super) async fn settle(
    connection: &mut PgConnection,
    stray: &Locked,
    settlement: Settlement<'_>,
    now: DateTime<Utc>,
    author: &Author,
) -> Result<(), SettleError> {
    sqlx::query!(
        "UPDATE ocpp.unmatched SET state = $2, transaction_id = $3, note = $4, replaced = $5, settled_at = $6, settled_by = $7
         WHERE id = $1",
        stray.id,
        settlement.fate.as_str(),
        settlement.transaction_id,
        settlement.note,
        settlement.replaced.map(Json) as _,
        now,
        author.account(),
    )
    .execute(&mut *connection)
    .await?;
    let action = match settlement.fate {
        Fate::Attached => Action::StrayAttached,
        Fate::Merged => Action::StrayMerged,
        Fate::Dismissed | Fate::Open => Action::StrayDismissed,
    };
    let entry = Entry::new(action, now, author)
        .on_charge_point(&stray.identity)
        .with("stray", Some(stray.id.to_string()))
        .with("kind", Some(stray.kind.as_str()))
        .with("transactionId", settlement.transaction_id)
        .with("note", settlement.note);
    audit::record(connection, entry).await?;
    Ok(())
}
