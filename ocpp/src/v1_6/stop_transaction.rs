//! StopTransaction: the end of a charge, and the number on the bill.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::meter_values::{self, MeterReading};
use crate::fields::Fields;

pub use rust_ocpp::v1_6::messages::stop_transaction::StopTransactionResponse;

/// A stop is always taken, so nothing in it is required: what cannot be read is `None` and shows as a violation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StopTransaction {
    /// Ours from the start's answer; stations that never got one send -1 or 0.
    pub transaction_id: Option<i32>,
    /// Absent where nobody presented a tag to stop.
    pub id_tag: Option<String>,
    /// Wh. `None` where it cannot be read, which is not the same as 0.
    pub meter_stop: Option<i64>,
    /// By the station's clock; `None` where it cannot be read.
    pub timestamp: Option<DateTime<Utc>>,
    /// Absent means `Local`.
    pub reason: Option<String>,
    pub transaction_data: Vec<MeterReading>,
}

impl StopTransaction {
    pub fn read(payload: &RawValue) -> StopTransaction {
        let fields = Fields::of(payload);
        StopTransaction {
            transaction_id: fields.small_integer("transactionId"),
            id_tag: fields.text("idTag"),
            meter_stop: fields.integer("meterStop"),
            timestamp: fields.time("timestamp"),
            reason: fields.text("reason"),
            transaction_data: meter_values::readings(&fields, "transactionData"),
        }
    }
}
