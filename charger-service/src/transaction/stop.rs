//! Stops a transaction.
//!
//! Every stop is answered and none is lost (rule 4 of the OCPP decisions). One that fits no transaction of this charge
//! point, or contradicts a stop that was there before, changes nothing and is kept for an operator. A station can
//! stop its own transactions only. Says nothing of the token that stopped it: the station let it.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::owned::Mismatch;
use super::placed::{self, Stopping};
use crate::charging_profile;
use crate::event::Kind;

/// A station that is offline repeats itself when it is back.
const REPEATED_WITHIN: TimeDelta = TimeDelta::days(7);

/// What the station says.
#[derive(Debug, Clone)]
pub struct Stop {
    pub charge_point: Uuid,
    /// Of the CALL that brings it; None where none does.
    pub message_id: Option<String>,
    /// As it came: any number, or none.
    pub transaction_id: Option<i32>,
    /// None where it cannot be read, which is not the same as 0.
    pub meter_stop_wh: Option<i64>,
    pub reason: String,
    /// Absent where nobody presented one.
    pub id_token: Option<String>,
    /// By the station's clock; None where it cannot be read.
    pub stopped_at: Option<DateTime<Utc>>,
    /// By ours.
    pub received_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    Applied {
        transaction_id: i32,
        connector_id: i32,
        /// The register stands lower than at the start, so that the energy is unknown.
        register_fell: bool,
        /// By the station's own clock it stopped before it started.
        before_its_start: bool,
    },
    /// The very stop that was applied before.
    Repeated,
    Unmatched(Mismatch),
}

struct Known {
    id: i32,
    charge_point_id: Uuid,
    connector_id: i32,
    meter_start_wh: Option<i64>,
    started_at: Option<DateTime<Utc>>,
    stopped: bool,
    /// Stopped by the charge point with the facts that are told now.
    alike: bool,
}

pub async fn stop(connection: &mut PgConnection, stop: &Stop) -> Result<Stopped, sqlx::Error> {
    let meant = meant(connection, stop).await?;
    let Some(known) = find(connection, stop, meant).await? else {
        return Ok(Stopped::Unmatched(Mismatch::UnknownTransaction));
    };
    if known.charge_point_id != stop.charge_point {
        return Ok(Stopped::Unmatched(Mismatch::OtherChargePoint));
    }
    if known.stopped {
        return Ok(if known.alike {
            Stopped::Repeated
        } else {
            Stopped::Unmatched(Mismatch::AlreadyStopped)
        });
    }
    apply(connection, known.id, stop, Kind::TransactionStopped).await?;
    charging_profile::transaction::stopped(connection, stop.charge_point, known.connector_id, known.id).await?;
    Ok(Stopped::Applied {
        transaction_id: known.id,
        connector_id: known.connector_id,
        before_its_start: matches!((known.started_at, stop.stopped_at), (Some(start), Some(stop)) if stop < start),
        register_fell: matches!((known.meter_start_wh, stop.meter_stop_wh), (Some(start), Some(stop)) if stop < start),
    })
}

/// The transaction that the station means, if it is any.
async fn meant(connection: &mut PgConnection, stop: &Stop) -> Result<Option<i32>, sqlx::Error> {
    match stop.transaction_id {
        Some(told) if placed::is_placeholder(told) => {}
        told => return Ok(told),
    }
    let stopping = Stopping {
        charge_point: stop.charge_point,
        at: stop.stopped_at.unwrap_or(stop.received_at),
        meter_stop_wh: stop.meter_stop_wh,
        id_token: stop.id_token.as_deref(),
    };
    let open = placed::ended_by(connection, &stopping).await?;
    let Some(alike) = placed::ended_alike(connection, &stopping).await? else {
        return Ok(open);
    };
    // After a power loss two connectors may stop alike to the watt-hour and the second. A station that repeats itself while it
    // charges elsewhere does so under the same message id.
    match open {
        Some(other) if !was_said_before(connection, stop).await? => Ok(Some(other)),
        _ => Ok(Some(alike)),
    }
}

/// Whether the station has sent a stop under the same message id of late.
async fn was_said_before(connection: &mut PgConnection, stop: &Stop) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM ocpp.message
             WHERE charge_point_id = $1 AND message_id = $2 AND requested_at > $3 AND action = 'StopTransaction') AS "said!""#,
        stop.charge_point,
        stop.message_id,
        stop.received_at - REPEATED_WITHIN,
    )
    .fetch_one(connection)
    .await
}

/// Locks the row, so that two sockets of one station cannot both stop it.
async fn find(
    connection: &mut PgConnection,
    stop: &Stop,
    transaction_id: Option<i32>,
) -> Result<Option<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        r#"SELECT id, charge_point_id, connector_id, meter_start_wh, started_at, stop_received_at IS NOT NULL AS "stopped!",
               (stopped_at IS NOT DISTINCT FROM $2 AND meter_stop_wh IS NOT DISTINCT FROM $3
                AND closed_by IS NULL) AS "alike!"
           FROM ocpp.transaction WHERE id = $1 FOR UPDATE"#,
        transaction_id,
        stop.stopped_at,
        stop.meter_stop_wh,
    )
    .fetch_optional(connection)
    .await
}

/// `told_as`: the event that it makes. That is one of now, also where the stop is a stray that has waited for an operator.
pub(super) async fn apply(
    connection: &mut PgConnection,
    id: i32,
    stop: &Stop,
    told_as: Kind,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH ended AS (
             UPDATE ocpp.transaction
             SET status = CASE status WHEN 'active' THEN 'completed' ELSE status END,
                 meter_stop_wh = $2, stopped_at = $3, stop_received_at = $4, stop_reason = $5, stop_id_token = $6
             WHERE id = $1
             RETURNING charge_point_id, connector_id, status, energy_wh)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT greatest($4, now()), $7, identity, site_id, json_build_object('transactionId', $1::integer, 'connectorId', connector_id,
             'status', status, 'energyWh', ocpp.whole(energy_wh),
             'stoppedAt', $3::timestamptz, 'stopReason', $5::text)
         FROM ended JOIN ocpp.charge_point ON charge_point.id = charge_point_id",
        id,
        stop.meter_stop_wh,
        stop.stopped_at,
        stop.received_at,
        stop.reason,
        stop.id_token,
        told_as.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
