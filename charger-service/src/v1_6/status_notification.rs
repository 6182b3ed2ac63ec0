//! StatusNotification (4.9): how a connector is.

use ocpp::v1_6::StatusNotification;
use sqlx::PgConnection;

use super::Failure;
use crate::session::answer::{Answer, Incoming};
use crate::station_clock;
use crate::status::{self, Status};

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let request = StatusNotification::read(call.payload)?;
    let status = Status {
        charge_point: call.charge_point,
        connector_id: request.connector_id,
        status: request.status,
        error_code: request.error_code,
        info: request.info,
        vendor_id: request.vendor_id,
        vendor_error_code: request.vendor_error_code,
        status_at: request.timestamp,
        received_at: call.received_at,
    };
    status::store(connection, &status).await?;
    let flag = station_clock::flag(status.status_at, status.received_at);
    Ok(Answer::empty()?.flagged(flag.map(str::to_owned)))
}
