//! StatusNotification (4.9): how a connector is.

use chrono::{DateTime, Utc};
use ocpp::Unreadable;
use ocpp::v1_6::StatusNotification;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Failure;
use crate::session::answer::{Answer, Incoming};
use crate::station_clock;
use crate::status::{self, Status};

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let status = read(call.payload, call.charge_point, call.received_at)?;
    let flag = flag(&status);
    status::store(connection, &[status]).await?;
    Ok(Answer::empty()?.flagged(flag))
}

/// What a charge point says.
pub(super) fn read(payload: &RawValue, charge_point: Uuid, received_at: DateTime<Utc>) -> Result<Status, Unreadable> {
    let request = StatusNotification::read(payload)?;
    Ok(Status {
        charge_point,
        connector_id: request.connector_id,
        status: request.status,
        error_code: request.error_code,
        info: request.info,
        vendor_id: request.vendor_id,
        vendor_error_code: request.vendor_error_code,
        status_at: request.timestamp,
        received_at,
    })
}

/// What is wrong with it.
pub(super) fn flag(status: &Status) -> Option<String> {
    station_clock::flag(status.status_at, status.received_at).map(str::to_owned)
}
