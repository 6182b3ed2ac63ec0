//! StatusNotification: how a connector is, or the charge point as a whole (connector 0).

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusNotification {
    pub connector_id: i32,
    /// `Available`, `Preparing`, `Charging` …
    pub status: String,
    /// `NoError`, `GroundFailure` …
    pub error_code: String,
    pub info: Option<String>,
    pub vendor_id: Option<String>,
    pub vendor_error_code: Option<String>,
    /// By the station's clock. May be left out: then it is the time of receipt.
    pub timestamp: Option<DateTime<Utc>>,
}

impl StatusNotification {
    pub fn read(payload: &RawValue) -> Result<StatusNotification, Unreadable> {
        let fields = Fields::of(payload);
        Ok(StatusNotification {
            connector_id: fields.required_small_integer("connectorId")?,
            status: fields.required_text("status")?,
            error_code: fields.required_text("errorCode")?,
            info: fields.text("info"),
            vendor_id: fields.text("vendorId"),
            vendor_error_code: fields.text("vendorErrorCode"),
            timestamp: fields.time("timestamp"),
        })
    }
}
