//! SecurityEventNotification (security whitepaper, 5.15): something that threatens the station's security.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityEventNotification {
    /// `FirmwareUpdated`, `TamperDetectionActivated` …, or the vendor's own.
    pub kind: String,
    /// By the station's clock.
    pub timestamp: Option<DateTime<Utc>>,
    pub tech_info: Option<String>,
}

impl SecurityEventNotification {
    pub fn read(payload: &RawValue) -> Result<SecurityEventNotification, Unreadable> {
        let fields = Fields::of(payload);
        Ok(SecurityEventNotification {
            kind: fields.required_text("type")?,
            timestamp: fields.time("timestamp"),
            tech_info: fields.text("techInfo"),
        })
    }
}
