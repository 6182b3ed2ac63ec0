//! Reservations: a connector is kept free for a tag until a point in time.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReserveNow {
    /// 0 is any connector.
    pub connector_id: i32,
    pub expiry_date: DateTime<Utc>,
    pub id_tag: String,
    pub parent_id_tag: Option<String>,
    pub reservation_id: i32,
}

impl ReserveNow {
    pub fn read(payload: &RawValue) -> Result<ReserveNow, Unreadable> {
        let fields = Fields::of(payload);
        Ok(ReserveNow {
            connector_id: fields.required_small_integer("connectorId")?,
            expiry_date: fields.time("expiryDate").ok_or(Unreadable { field: "expiryDate" })?,
            id_tag: fields.required_text("idTag")?,
            parent_id_tag: fields.text("parentIdTag"),
            reservation_id: fields.required_small_integer("reservationId")?,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelReservation {
    pub reservation_id: i32,
}

impl CancelReservation {
    pub fn read(payload: &RawValue) -> Result<CancelReservation, Unreadable> {
        Ok(CancelReservation {
            reservation_id: Fields::of(payload).required_small_integer("reservationId")?,
        })
    }
}
