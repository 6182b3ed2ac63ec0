//! Closes a transaction whose stop never came: the charge point is gone, or has forgotten.
//!
//! To the books it is a stop like any other, so it goes by that rule, and the mark tells that an operator was it. A stop
//! that the charge point sends after all contradicts it, whatever it says, and is kept as a stray.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::page;
use service_kit::reason::{self, FieldViolation, Reason};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{CloseTransactionRequest, Transaction};

use super::list::{self, GetError};
use super::stop::{Stop, Stopped, stop};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::charge_record;
use crate::remark;
use crate::station_clock::Plausibility;

/// OCPP's word for every reason that has none of its own.
const OTHER: &str = "Other";

/// A request that breaks no rule by itself.
#[derive(Debug)]
pub struct Closing {
    id: i32,
    meter_stop_wh: Option<i64>,
    stopped_at: Option<DateTime<Utc>>,
    reason: String,
}

#[derive(Debug, Error)]
pub enum CloseError {
    #[error("there is no such transaction")]
    NotFound,
    #[error("the transaction has been stopped")]
    Stopped,
    #[error("the transaction cannot have ended so")]
    Impossible(Vec<FieldViolation>),
    #[error("the transaction could not be closed")]
    Database(#[from] sqlx::Error),
}

impl From<CloseError> for Status {
    fn from(error: CloseError) -> Self {
        match error {
            CloseError::NotFound => GetError::NotFound.into(),
            CloseError::Stopped => Reason::TransactionStopped.status("The transaction has been stopped before"),
            CloseError::Impossible(violations) => reason::invalid(violations),
            CloseError::Database(error) => database::failed(&error),
        }
    }
}

impl From<GetError> for CloseError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => Self::NotFound,
            GetError::Database(error) => Self::Database(error),
        }
    }
}

impl Closing {
    /// Collects what is wrong with every field before it refuses.
    pub fn parse(request: CloseTransactionRequest, now: DateTime<Utc>) -> Result<Self, Vec<FieldViolation>> {
        let mut violations = Vec::new();
        if request.meter_stop_wh.is_some_and(|wh| wh < 0) {
            violations.push(FieldViolation::new("meterStopWh", "must be between 0 and 2147483647"));
        }
        let stopped_at = page::time("stoppedAt", request.stopped_at, &mut violations);
        if stopped_at.is_some_and(|at| at > now) {
            violations.push(FieldViolation::new("stoppedAt", "must not be in the future"));
        }
        match remark::parse(&request.reason) {
            Ok(reason) if violations.is_empty() => Ok(Self {
                id: request.id,
                meter_stop_wh: request.meter_stop_wh.map(i64::from),
                stopped_at,
                reason,
            }),
            Ok(_) => Err(violations),
            Err(problem) => {
                violations.push(FieldViolation::new("reason", problem));
                Err(violations)
            }
        }
    }
}

struct Known {
    charge_point_id: Uuid,
    identity: String,
    meter_start_wh: Option<i64>,
    started_at: Option<DateTime<Utc>>,
    /// What the last register comes to at the charge point's own meter.
    register_wh: Option<i64>,
    register_at: Option<DateTime<Utc>>,
    is_stopped: bool,
    meter_stop_wh: Option<i64>,
    stopped_at: Option<DateTime<Utc>>,
    close_reason: Option<String>,
}

impl Known {
    /// Closed just so before.
    fn is_closed_alike(&self, closing: &Closing) -> bool {
        let is_kept =
            |time: DateTime<Utc>| self.stopped_at.map(|at| at.timestamp_micros()) == Some(time.timestamp_micros());
        self.close_reason.as_ref() == Some(&closing.reason)
            && closing.meter_stop_wh.is_none_or(|wh| self.meter_stop_wh == Some(wh))
            && closing.stopped_at.is_none_or(is_kept)
    }

    fn check(&self, closing: &Closing) -> Result<(), CloseError> {
        let mut violations = Vec::new();
        if matches!((self.meter_start_wh, closing.meter_stop_wh), (Some(start), Some(stop)) if stop < start) {
            let problem = "must not be below the transaction's meterStartWh";
            violations.push(FieldViolation::new("meterStopWh", problem));
        }
        if matches!((self.started_at, closing.stopped_at), (Some(start), Some(stop)) if stop < start) {
            let problem = "must not be before the transaction's startedAt";
            violations.push(FieldViolation::new("stoppedAt", problem));
        }
        if violations.is_empty() {
            Ok(())
        } else {
            Err(CloseError::Impossible(violations))
        }
    }

    /// What the meter showed in the end as far as it told, unless that cannot be: then nobody knows.
    fn last_register_wh(&self) -> Option<i64> {
        self.register_wh
            .filter(|&register| self.meter_start_wh.is_none_or(|start| start <= register))
    }

    /// The time of the last register, unless it cannot be true.
    fn last_heard_of(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.register_at
            .filter(|&at| Plausibility::of(at, now) == Plausibility::Plausible)
            .filter(|&at| self.started_at.is_none_or(|start| start <= at))
    }
}

pub async fn close(state: &State, closing: Closing, author: &Author) -> Result<Transaction, CloseError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let known = lock(&mut transaction, closing.id).await?.ok_or(CloseError::NotFound)?;
    if known.is_stopped && !known.is_closed_alike(&closing) {
        return Err(CloseError::Stopped);
    }
    if !known.is_stopped {
        apply(&mut transaction, &known, &closing, now, author).await?;
    }
    let closed = list::get(&mut transaction, closing.id).await?;
    transaction.commit().await?;
    Ok(closed)
}

/// Closes those of these that are open, by what is known of each, in a transaction that is under way.
pub async fn close_open(
    connection: &mut PgConnection,
    ids: &[i32],
    reason: &str,
    now: DateTime<Utc>,
    author: &Author,
) -> Result<(), sqlx::Error> {
    // One by one, as each is a stop with all that follows from one. They are few: whoever calls sees to that.
    for id in ids {
        let closing = Closing {
            id: *id,
            meter_stop_wh: None,
            stopped_at: None,
            reason: reason.to_owned(),
        };
        let Some(known) = lock(connection, *id).await?.filter(|known| !known.is_stopped) else {
            continue;
        };
        match apply(connection, &known, &closing, now, author).await {
            Ok(()) => {}
            Err(CloseError::Database(error)) => return Err(error),
            // What is said of none of them cannot be wrong, and the row is locked.
            Err(CloseError::NotFound | CloseError::Stopped | CloseError::Impossible(_)) => {}
        }
    }
    Ok(())
}

/// The row is locked, and open.
async fn apply(
    connection: &mut PgConnection,
    known: &Known,
    closing: &Closing,
    now: DateTime<Utc>,
    author: &Author,
) -> Result<(), CloseError> {
    known.check(closing)?;
    let end = Stop {
        charge_point: known.charge_point_id,
        message_id: None,
        transaction_id: Some(closing.id),
        meter_stop_wh: closing.meter_stop_wh.or_else(|| known.last_register_wh()),
        reason: OTHER.to_owned(),
        id_token: None,
        stopped_at: closing
            .stopped_at
            .or_else(|| known.last_heard_of(now))
            .or(Some(known.started_at.map_or(now, |start| start.max(now)))),
        received_at: now,
    };
    match stop(connection, &end).await? {
        Stopped::Applied { .. } => {}
        Stopped::Repeated | Stopped::Unmatched(_) => return Err(CloseError::Stopped),
    }
    mark(connection, closing, author).await?;
    charge_record::settle(connection, closing.id, charge_record::Stop::Told, now).await?;
    let entry = Entry::new(Action::TransactionClosed, now, author)
        .on_charge_point(&known.identity)
        .with("transactionId", Some(closing.id))
        .with("meterStopWh", end.meter_stop_wh)
        .with("stoppedAt", end.stopped_at.map(|at| at.to_rfc3339()))
        .with("reason", Some(closing.reason.as_str()));
    audit::record(connection, entry).await?;
    tracing::info!(transaction = closing.id, "An operator closed a transaction");
    Ok(())
}

/// A register that counts from 0 with each transaction comes to the energy since its start, like any other.
async fn lock(connection: &mut PgConnection, id: i32) -> Result<Option<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        r#"SELECT charge_point_id, identity, meter_start_wh, started_at,
               CASE WHEN coalesce(meter_start_wh + energy_wh, register_wh) BETWEEN 0 AND 9000000000000000000
                    THEN floor(coalesce(meter_start_wh + energy_wh, register_wh))::bigint END AS register_wh,
               register_at, stop_received_at IS NOT NULL AS "is_stopped!", meter_stop_wh, stopped_at, close_reason
           FROM ocpp.transaction JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           WHERE transaction.id = $1 FOR UPDATE OF transaction"#,
        id,
    )
    .fetch_optional(connection)
    .await
}

async fn mark(connection: &mut PgConnection, closing: &Closing, author: &Author) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.transaction SET closed_by = $2, close_reason = $3 WHERE id = $1",
        closing.id,
        // Roles are an account's, so there is one.
        author.account().unwrap_or_default(),
        closing.reason,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = CloseTransactionRequest {
            id: 1,
            meter_stop_wh: Some(-1),
            stopped_at: Some(Timestamp { seconds: 1, nanos: 0 }),
            reason: String::new(),
        };
        let violations = Closing::parse(wrong, DateTime::UNIX_EPOCH).expect_err("all are wrong");
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["meterStopWh", "stoppedAt", "reason"]);
    }
}
