//! ChangeAvailability: whether a connector is to be used at all.

use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeAvailability {
    /// 0 is the charge point with all its connectors.
    pub connector_id: i32,
    /// `Operative` or `Inoperative`.
    pub r#type: String,
}

impl ChangeAvailability {
    pub fn read(payload: &RawValue) -> Result<ChangeAvailability, Unreadable> {
        let fields = Fields::of(payload);
        Ok(ChangeAvailability {
            connector_id: fields.required_small_integer("connectorId")?,
            r#type: fields.required_text("type")?,
        })
    }
}
