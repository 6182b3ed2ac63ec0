//! MeterValues (4.7): what the meter of a connector read, in a transaction or outside one.

use ocpp::v1_6::MeterValues;
use sqlx::PgConnection;

use super::Failure;
use super::samples::samples;
use crate::meter_values::{self, Samples};
use crate::session::answer::{Answer, Incoming};
use crate::transaction::owned::owned;
use crate::unmatched::{self, Kind, Unmatched};

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let request = MeterValues::read(call.payload);
    let transaction = match request.transaction_id {
        None => None,
        Some(reported) => match owned(connection, call.charge_point, reported).await? {
            Ok(transaction) => Some(transaction),
            Err(mismatch) => {
                let stray = Unmatched {
                    charge_point: call.charge_point,
                    kind: Kind::MeterValues,
                    reported_transaction_id: Some(reported),
                    mismatch,
                    payload: call.payload.get(),
                    received_at: call.received_at,
                };
                unmatched::keep(connection, &stray).await?;
                return Ok(Answer::empty()?.flagged([mismatch.sentence().to_owned()]));
            }
        },
    };
    let samples = Samples {
        charge_point: call.charge_point,
        connector_id: request
            .connector_id
            .or(transaction.as_ref().map(|transaction| transaction.connector_id)),
        transaction_id: transaction.map(|transaction| transaction.id),
        samples: samples(request.readings, call.received_at),
        received_at: call.received_at,
    };
    meter_values::store(connection, &samples).await?;
    Answer::empty()
}
