//! Transfers of the security whitepaper, which have a number: SignedUpdateFirmware (5.21) fetches a file, GetLog (5.9) puts one
//! somewhere, and notifications (5.13, 5.19) say by the number how they get on.

use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedTransfer {
    pub request_id: i32,
    /// A URL.
    pub location: String,
}

impl NumberedTransfer {
    pub fn of_firmware(payload: &RawValue) -> Result<NumberedTransfer, Unreadable> {
        NumberedTransfer::read(payload, "firmware", "location")
    }

    pub fn of_log(payload: &RawValue) -> Result<NumberedTransfer, Unreadable> {
        NumberedTransfer::read(payload, "log", "remoteLocation")
    }

    fn read(payload: &RawValue, object: &'static str, url: &'static str) -> Result<NumberedTransfer, Unreadable> {
        let fields = Fields::of(payload);
        let file = fields.object(object).ok_or(Unreadable { field: object })?;
        Ok(NumberedTransfer {
            request_id: fields.required_small_integer("requestId")?,
            location: file.required_text(url)?,
        })
    }
}

/// A station's answer to GetLog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    pub file_name: Option<String>,
}

impl LogFile {
    pub fn read(payload: &RawValue) -> LogFile {
        LogFile {
            file_name: Fields::of(payload).text("filename").filter(|name| !name.is_empty()),
        }
    }
}

/// LogStatusNotification and SignedFirmwareStatusNotification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferStatus {
    pub status: String,
    /// Absent where nothing is going on.
    pub request_id: Option<i32>,
}

impl TransferStatus {
    pub fn read(payload: &RawValue) -> Result<TransferStatus, Unreadable> {
        let fields = Fields::of(payload);
        Ok(TransferStatus {
            status: fields.required_text("status")?,
            request_id: fields.small_integer("requestId"),
        })
    }
}
