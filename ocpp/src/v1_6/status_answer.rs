//! Payloads that say no more than a status: FirmwareStatusNotification and DiagnosticsStatusNotification, and the answers
//! of a station to RemoteStartTransaction, Reset, UnlockConnector, ChangeConfiguration and most other commands.

use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusOnly {
    /// Verbatim: `Accepted`, `Rejected`, `RebootRequired`, `Scheduled`, `Downloading` …
    pub status: String,
}

impl StatusOnly {
    pub fn read(payload: &RawValue) -> Result<StatusOnly, Unreadable> {
        Ok(StatusOnly {
            status: Fields::of(payload).required_text("status")?,
        })
    }
}
