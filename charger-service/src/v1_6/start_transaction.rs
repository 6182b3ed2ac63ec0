//! StartTransaction (4.8): energy begins to flow.

use ocpp::v1_6::{StartTransaction, StartTransactionResponse};
use sqlx::PgConnection;

use super::Failure;
use super::id_tag_info::id_tag_info;
use crate::session::answer::{Answer, Incoming};
use crate::station_clock;
use crate::transaction::start::{Start, start};

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let request = StartTransaction::read(call.payload)?;
    let started = start(
        connection,
        &Start {
            charge_point: call.charge_point,
            connector_id: request.connector_id,
            id_token: request.id_tag,
            meter_start_wh: request.meter_start,
            reservation_id: request.reservation_id,
            started_at: request.timestamp,
            received_at: call.received_at,
            is_late: call.is_late,
            is_gone: call.is_gone,
            heard: call.advice.of_token(),
        },
    )
    .await?;
    let answer = Answer::result(&StartTransactionResponse {
        id_tag_info: id_tag_info(started.authorization),
        transaction_id: started.transaction_id,
    })?;
    Ok(answer.flagged(station_clock::flag(request.timestamp, call.received_at).map(str::to_owned)))
}
