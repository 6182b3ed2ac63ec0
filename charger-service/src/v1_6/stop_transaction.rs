//! StopTransaction (4.10): energy has stopped flowing. The charge point is told so whatever we make of it, or it would
//! repeat itself for ever.

use chrono::{DateTime, Utc};
use ocpp::v1_6::{StopTransaction, StopTransactionResponse};
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Failure;
use super::id_tag_info::id_tag_info;
use super::samples::samples;
use crate::authorization::{self, Presented, Purpose};
use crate::charge_record;
use crate::meter_values::{self, Sample, Samples};
use crate::session::answer::{Answer, Incoming};
use crate::station_clock;
use crate::transaction::placed;
use crate::transaction::stop::{Stop, Stopped, stop};
use crate::unmatched::{self, Kind, Unmatched};

/// What a charge point says, and the meter values that come with it.
pub(super) fn read(payload: &RawValue, charge_point: Uuid, received_at: DateTime<Utc>) -> (Stop, Vec<Sample>) {
    let request = StopTransaction::read(payload);
    let stop = Stop {
        charge_point,
        message_id: None,
        transaction_id: request.transaction_id,
        meter_stop_wh: request.meter_stop,
        // It may only be left out where it is this one.
        reason: request.reason.unwrap_or_else(|| "Local".to_owned()),
        id_token: request.id_tag,
        stopped_at: request.timestamp,
        received_at,
    };
    (stop, samples(request.transaction_data, received_at))
}

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let (told, data) = read(call.payload, call.charge_point, call.received_at);
    let told = Stop {
        message_id: Some(call.message_id.to_owned()),
        ..told
    };
    let mut flags: Vec<_> = station_clock::flag(told.stopped_at, told.received_at)
        .map(str::to_owned)
        .into_iter()
        .collect();
    match stop(connection, &told).await? {
        Stopped::Applied {
            transaction_id,
            connector_id,
            register_fell,
            before_its_start,
        } => {
            let data = Samples {
                charge_point: call.charge_point,
                connector_id: Some(connector_id),
                transaction_id: Some(transaction_id),
                samples: data,
                received_at: call.received_at,
            };
            meter_values::store(connection, &[data]).await?;
            charge_record::settle(connection, transaction_id, charge_record::Stop::Told, call.received_at).await?;
            if let Some(reported) = told.transaction_id.filter(|&reported| reported != transaction_id) {
                flags.push(placed::flag(reported, transaction_id));
            }
            if before_its_start {
                flags.push("timestamp: is before the transaction's start".to_owned());
            }
            if register_fell {
                flags.push("meterStop: is below the transaction's meterStart".to_owned());
            }
        }
        Stopped::Repeated => {}
        Stopped::Unmatched(mismatch) => {
            let stray = Unmatched {
                charge_point: call.charge_point,
                kind: Kind::Stop,
                reported_transaction_id: told.transaction_id,
                mismatch,
                payload: call.payload.get(),
                received_at: call.received_at,
            };
            let kept = unmatched::keep(connection, &stray).await?;
            flags.push(kept.sentence(mismatch));
        }
    }
    let id_tag_info = match &told.id_token {
        Some(id_token) => {
            let presented = Presented {
                id_token,
                charge_point: call.charge_point,
                connector_id: None,
                purpose: Purpose::Stop,
                at: call.received_at,
                heard: call.advice.of_token(),
            };
            Some(id_tag_info(authorization::decide(connection, &presented).await?))
        }
        None => None,
    };
    Ok(Answer::result(&StopTransactionResponse { id_tag_info })?.flagged(flags))
}
