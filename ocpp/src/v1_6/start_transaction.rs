//! StartTransaction: energy begins to flow, and somebody is going to pay for it.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

pub use rust_ocpp::v1_6::messages::start_transaction::StartTransactionResponse;

/// Only a start without a connector or a tag cannot be read: nobody could be charged for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartTransaction {
    pub connector_id: i32,
    /// As sent, even where it is longer than the 20 characters that the specification allows.
    pub id_tag: String,
    /// Wh. `None` where it cannot be read, which is not the same as 0.
    pub meter_start: Option<i64>,
    pub reservation_id: Option<i32>,
    /// By the station's clock; `None` where it cannot be read.
    pub timestamp: Option<DateTime<Utc>>,
}

impl StartTransaction {
    pub fn read(payload: &RawValue) -> Result<StartTransaction, Unreadable> {
        let fields = Fields::of(payload);
        Ok(StartTransaction {
            connector_id: fields.required_small_integer("connectorId")?,
            id_tag: fields.required_text("idTag")?,
            meter_start: fields.integer("meterStart"),
            reservation_id: fields.small_integer("reservationId"),
            timestamp: fields.time("timestamp"),
        })
    }
}
