//! A charge point introduces itself.
//!
//! The answer is the operator's, set with the charge point; it is remembered, because what the station may say next
//! follows from what it was told (rule 2 of the OCPP decisions), not from what the operator has chosen since.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// What the station says of itself. Any of it may be missing.
#[derive(Debug, Default)]
pub struct Boot {
    pub vendor: Option<String>,
    pub model: Option<String>,
    pub serial_number: Option<String>,
    pub charge_box_serial: Option<String>,
    pub firmware_version: Option<String>,
    pub iccid: Option<String>,
    pub imsi: Option<String>,
    pub meter_type: Option<String>,
    pub meter_serial: Option<String>,
}

/// Whether a charge point takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    Accepted,
    Pending,
    Rejected,
}

impl Registration {
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Pending, Self::Rejected];

    /// OCPP's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Pending => "Pending",
            Self::Rejected => "Rejected",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|registration| registration.as_str() == text)
    }
}

/// Stores what the station says and returns what the operator answers. A field that the station leaves out is no
/// longer known: it may be another device than before.
pub async fn boot(
    connection: &mut PgConnection,
    charge_point: Uuid,
    boot: &Boot,
    now: DateTime<Utc>,
) -> Result<Registration, sqlx::Error> {
    let answer = sqlx::query_scalar!(
        "UPDATE ocpp.charge_point
         SET vendor = $2, model = $3, serial_number = $4, charge_box_serial = $5, firmware_version = $6, iccid = $7,
             imsi = $8, meter_type = $9, meter_serial = $10, last_boot_at = $11, boot_answer = registration_status
         WHERE id = $1
         RETURNING registration_status",
        charge_point,
        boot.vendor,
        boot.model,
        boot.serial_number,
        boot.charge_box_serial,
        boot.firmware_version,
        boot.iccid,
        boot.imsi,
        boot.meter_type,
        boot.meter_serial,
        now,
    )
    .fetch_one(connection)
    .await?;
    // The column's constraint leaves nothing else.
    Ok(Registration::parse(&answer).unwrap_or(Registration::Rejected))
}
