//! Payloads that were kept because they fitted no transaction, read again when an operator has found theirs.

use chrono::{DateTime, Utc};
use ocpp::v1_6::MeterValues;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::samples::samples;
use super::stop_transaction;
use crate::meter_values::Sample;
use crate::transaction::stop::Stop;

/// A stop of this very transaction, whichever the charge point named, and the meter values that came with it.
pub fn stop(
    payload: &RawValue,
    charge_point: Uuid,
    transaction_id: i32,
    received_at: DateTime<Utc>,
) -> (Stop, Vec<Sample>) {
    let (told, data) = stop_transaction::read(payload, charge_point, received_at);
    let stop = Stop {
        transaction_id: Some(transaction_id),
        ..told
    };
    (stop, data)
}

/// Meter values, and the connector that they are of where it was told.
pub fn meter_values(payload: &RawValue, received_at: DateTime<Utc>) -> (Option<i32>, Vec<Sample>) {
    let request = MeterValues::read(payload);
    (request.connector_id, samples(request.readings, received_at))
}
