//! DataTransfer: whatever a vendor wanted to say that OCPP does not.

use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

pub use rust_ocpp::v1_6::messages::data_transfer::DataTransferResponse;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataTransfer {
    pub vendor_id: String,
    pub message_id: Option<String>,
    pub data: Option<String>,
}

impl DataTransfer {
    pub fn read(payload: &RawValue) -> Result<DataTransfer, Unreadable> {
        let fields = Fields::of(payload);
        Ok(DataTransfer {
            vendor_id: fields.required_text("vendorId")?,
            message_id: fields.text("messageId"),
            data: fields.text("data"),
        })
    }
}
