//! BootNotification: a charge point says what it is.

use chrono::{DateTime, Utc};
use rust_ocpp::v1_6::types::RegistrationStatus;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{fields::Fields, timestamp};

/// Everything may be missing: a station that cannot say its model must still come online. Stations without a modem or a
/// meter like to send empty strings; those read as absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootNotification {
    pub charge_point_vendor: Option<String>,
    pub charge_point_model: Option<String>,
    pub charge_point_serial_number: Option<String>,
    pub charge_box_serial_number: Option<String>,
    pub firmware_version: Option<String>,
    pub iccid: Option<String>,
    pub imsi: Option<String>,
    pub meter_type: Option<String>,
    pub meter_serial_number: Option<String>,
}

impl BootNotification {
    pub fn read(payload: &RawValue) -> BootNotification {
        let fields = Fields::of(payload);
        let text = |name| fields.text(name).filter(|text| !text.is_empty());
        BootNotification {
            charge_point_vendor: text("chargePointVendor"),
            charge_point_model: text("chargePointModel"),
            charge_point_serial_number: text("chargePointSerialNumber"),
            charge_box_serial_number: text("chargeBoxSerialNumber"),
            firmware_version: text("firmwareVersion"),
            iccid: text("iccid"),
            imsi: text("imsi"),
            meter_type: text("meterType"),
            meter_serial_number: text("meterSerialNumber"),
        }
    }
}

/// Ours rather than `rust-ocpp`'s, because that one writes the fields in another order than the schema.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BootNotificationResponse {
    status: RegistrationStatus,
    current_time: DateTime<Utc>,
    interval: u32,
}

impl BootNotificationResponse {
    /// `interval` in seconds: between heartbeats when accepted, until the next boot otherwise.
    pub fn new(status: RegistrationStatus, now: DateTime<Utc>, interval: u32) -> BootNotificationResponse {
        BootNotificationResponse {
            status,
            current_time: timestamp::to_milliseconds(now),
            interval,
        }
    }
}
