//! Puts the facts of one stop in place of those of the stop before, where an operator has decided which of them is true.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::owned::Mismatch;
use super::stop::{self, Stop};
use crate::event::Kind;
use crate::meter_values::{self, Sample, Samples};

/// What was told before, or decided by an operator who closed the transaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Earlier {
    pub meter_stop_wh: Option<i64>,
    pub stopped_at: Option<DateTime<Utc>>,
    pub stop_received_at: DateTime<Utc>,
    pub stop_reason: Option<String>,
    pub stop_id_token: Option<String>,
    pub closed_by: Option<Uuid>,
    pub close_reason: Option<String>,
}

/// Why a stop replaces none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    Mismatch(Mismatch),
    NotStopped,
}

/// Returns what was there before. Meter values that came with the stop are added, those that are known stay as they are.
pub async fn correct(
    connection: &mut PgConnection,
    transaction_id: i32,
    stop: &Stop,
    samples: Vec<Sample>,
) -> Result<Result<Earlier, Misfit>, sqlx::Error> {
    let known = sqlx::query!(
        "SELECT charge_point_id, connector_id, meter_stop_wh, stopped_at, stop_received_at, stop_reason, stop_id_token,
             closed_by, close_reason
         FROM ocpp.transaction WHERE id = $1 FOR UPDATE",
        transaction_id,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(known) = known else {
        return Ok(Err(Misfit::Mismatch(Mismatch::UnknownTransaction)));
    };
    if known.charge_point_id != stop.charge_point {
        return Ok(Err(Misfit::Mismatch(Mismatch::OtherChargePoint)));
    }
    let Some(stop_received_at) = known.stop_received_at else {
        return Ok(Err(Misfit::NotStopped));
    };
    stop::apply(&mut *connection, transaction_id, stop, Kind::TransactionCorrected).await?;
    // It is the charge point's stop now.
    sqlx::query!(
        "UPDATE ocpp.transaction SET closed_by = NULL, close_reason = NULL WHERE id = $1 AND closed_by IS NOT NULL",
        transaction_id,
    )
    .execute(&mut *connection)
    .await?;
    let data = Samples {
        charge_point: stop.charge_point,
        connector_id: Some(known.connector_id),
        transaction_id: Some(transaction_id),
        samples,
        received_at: stop.received_at,
    };
    meter_values::store(connection, &[data]).await?;
    Ok(Ok(Earlier {
        meter_stop_wh: known.meter_stop_wh,
        stopped_at: known.stopped_at,
        stop_received_at,
        stop_reason: known.stop_reason,
        stop_id_token: known.stop_id_token,
        closed_by: known.closed_by,
        close_reason: known.close_reason,
    }))
}
