//! A charge point introduces itself.
//!
//! The answer is the operator's, set with the charge point; it is remembered, because what the station may say next
//! follows from what it was told (rule 2 of the OCPP decisions), not from what the operator has chosen since.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::registration::pending::{self, Step};

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

/// What a station is answered.
#[derive(Debug)]
pub struct BootAnswer {
    pub registration: Registration,
    /// `interval` of the answer; none where the installation's counts.
    pub interval_seconds: Option<u32>,
}

/// Stores what the station says and returns what the operator answers. A field that the station leaves out is no
/// longer known: it may be another device than before.
pub async fn boot(
    connection: &mut PgConnection,
    charge_point: Uuid,
    boot: &Boot,
    now: DateTime<Utc>,
) -> Result<BootAnswer, sqlx::Error> {
    let answer = sqlx::query!(
        r#"UPDATE ocpp.charge_point
         SET vendor = $2, model = $3, serial_number = $4, charge_box_serial = $5, firmware_version = $6, iccid = $7,
             imsi = $8, meter_type = $9, meter_serial = $10, last_boot_at = $11, boot_answer = registration_status
         WHERE id = $1
         RETURNING registration_status, boot_interval_seconds,
             pending_commands AS "pending_commands: Json<Vec<Step<Box<RawValue>>>>",
             pending_commands_by"#,
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
    .fetch_one(&mut *connection)
    .await?;
    // The column's constraint leaves nothing else.
    let registration = Registration::parse(&answer.registration_status).unwrap_or(Registration::Rejected);
    let steps = match registration {
        Registration::Pending => answer.pending_commands.0,
        Registration::Accepted | Registration::Rejected => Vec::new(),
    };
    let asked_by = answer.pending_commands_by.as_deref();
    pending::queue(connection, charge_point, &steps, asked_by, now).await?;
    Ok(BootAnswer {
        registration,
        interval_seconds: answer
            .boot_interval_seconds
            .and_then(|seconds| u32::try_from(seconds).ok()),
    })
}
