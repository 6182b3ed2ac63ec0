//! MeterValues (4.7): what the meter of a connector read, in a transaction or outside one.

use ocpp::v1_6::MeterValues;
use sqlx::PgConnection;

use super::Failure;
use super::samples::samples;
use crate::meter_values::{self, Samples};
use crate::session::answer::{Answer, Incoming};
use crate::transaction::owned::{Mismatch, Owned, owned};
use crate::transaction::placed;
use crate::unmatched::{self, Kind, Unmatched};

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let request = MeterValues::read(call.payload);
    meter_values::take_turns(connection, &[call.charge_point]).await?;
    let (transaction, flag) = match meant(connection, &request, call).await? {
        Meant::None => (None, None),
        Meant::Told(transaction) => (Some(transaction), None),
        Meant::Placed { reported, transaction } => {
            let flag = placed::flag(reported, transaction.id);
            (Some(transaction), Some(flag))
        }
        Meant::Unmatched { reported, mismatch } => {
            let stray = Unmatched {
                charge_point: call.charge_point,
                kind: Kind::MeterValues,
                reported_transaction_id: Some(reported),
                mismatch,
                payload: call.payload.get(),
                received_at: call.received_at,
            };
            let kept = unmatched::keep(connection, &stray).await?;
            return Ok(Answer::empty()?.flagged([kept.sentence(mismatch)]));
        }
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
    let told = [samples];
    let known_before = meter_values::store(connection, &told).await?;
    let repetition = meter_values::repetitions(&told, &known_before).next();
    Ok(Answer::empty()?.flagged(flag).flagged(repetition.flatten()))
}

/// Which transaction the values are of.
enum Meant {
    None,
    Told(Owned),
    /// It was told without its number.
    Placed {
        reported: i32,
        transaction: Owned,
    },
    Unmatched {
        reported: i32,
        mismatch: Mismatch,
    },
}

async fn meant(
    connection: &mut PgConnection,
    request: &MeterValues,
    call: &Incoming<'_>,
) -> Result<Meant, sqlx::Error> {
    let Some(reported) = request.transaction_id else {
        return Ok(Meant::None);
    };
    if let (true, Some(connector)) = (placed::is_placeholder(reported), request.connector_id) {
        let times = request.readings.iter().filter_map(|reading| reading.timestamp);
        let at = times.min().unwrap_or(call.received_at);
        return Ok(match placed::at(connection, call.charge_point, connector, at).await? {
            Some(transaction) => Meant::Placed { reported, transaction },
            None => Meant::Unmatched {
                reported,
                mismatch: Mismatch::UnknownTransaction,
            },
        });
    }
    Ok(match owned(connection, call.charge_point, reported).await? {
        Ok(transaction) => Meant::Told(transaction),
        Err(mismatch) => Meant::Unmatched { reported, mismatch },
    })
}
