//! Files between a station and a server: UpdateFirmware fetches one, GetDiagnostics puts one there.

use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

/// What both ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// A URL.
    pub location: String,
}

impl Transfer {
    pub fn read(payload: &RawValue) -> Result<Transfer, Unreadable> {
        Ok(Transfer {
            location: Fields::of(payload).required_text("location")?,
        })
    }
}

/// A station's answer to GetDiagnostics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    /// Absent where there is nothing to upload.
    pub file_name: Option<String>,
}

impl FileName {
    pub fn read(payload: &RawValue) -> FileName {
        FileName {
            file_name: Fields::of(payload).text("fileName").filter(|name| !name.is_empty()),
        }
    }
}
