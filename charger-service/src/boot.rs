//! A charge point introduces itself.
//!
//! The answer is the operator's, set with the charge point; it is remembered, because what the station may say next
//! follows from what it was told (rule 2 of the OCPP decisions), not from what the operator has chosen since.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::event;
use crate::notice::{Notice, tell};
use crate::registration::pending::{self, Step};
use crate::security_event::refused::{self, Kind};

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

/// What the last BootNotification was answered, on whichever connection it came; None where there was none yet.
pub async fn last_answer(
    connection: &mut PgConnection,
    charge_point: Uuid,
) -> Result<Option<Registration>, sqlx::Error> {
    let answer = sqlx::query_scalar!("SELECT boot_answer FROM ocpp.charge_point WHERE id = $1", charge_point)
        .fetch_one(connection)
        .await?;
    Ok(answer.as_deref().and_then(Registration::parse))
}

/// What comes of a boot.
#[derive(Debug)]
pub enum Booted {
    Answered(BootAnswer),
    /// It is not the station that its certificate was made out to: nothing that it says of itself is stored.
    AnotherSerialNumber,
}

/// Stores what the station says and returns what the operator answers. A field that the station leaves out is no
/// longer known: it may be another device than before. Only a serial number that its certificate names is known still.
///
/// `certified`: that serial number. One that differs is refused (B01.FR.12, rule 15 of the OCPP decisions).
pub async fn boot(
    connection: &mut PgConnection,
    charge_point: Uuid,
    certified: Option<&str>,
    boot: &Boot,
    now: DateTime<Utc>,
) -> Result<Booted, sqlx::Error> {
    // An empty one says no more than none.
    let told = boot.serial_number.as_deref().map(str::trim);
    let told = told.filter(|told| !told.is_empty());
    if let (Some(certified), Some(told)) = (certified, told)
        && certified != told
    {
        let what = "it booted with another serial number than its certificate names";
        refused::count(connection, charge_point, Kind::SerialNumber, what, now).await?;
        return Ok(Booted::AnotherSerialNumber);
    }
    let answer = sqlx::query!(
        r#"WITH before AS (SELECT id, boot_answer FROM ocpp.charge_point WHERE id = $1 FOR UPDATE),
         booted AS (
             UPDATE ocpp.charge_point
             SET vendor = $2, model = $3, charge_box_serial = $5,
                 serial_number = CASE WHEN $12 AND $4::text IS NULL THEN serial_number ELSE $4 END,
                 firmware_version = $6, iccid = $7, imsi = $8, meter_type = $9, meter_serial = $10, last_boot_at = $11,
                 boot_answer = registration_status
             FROM before
             WHERE charge_point.id = before.id
             RETURNING identity, site_id, registration_status, boot_interval_seconds,
                 before.boot_answer IS DISTINCT FROM registration_status AS is_news, pending_commands,
                 pending_commands_by),
         told AS (
             INSERT INTO ocpp.event (at, type, identity, site_id, data)
             SELECT $11, $13, identity, site_id, json_build_object('vendor', $2::text, 'model', $3::text,
                 'firmwareVersion', $6::text, 'registrationStatus', registration_status)
             FROM booted)
         SELECT registration_status AS "registration_status!", boot_interval_seconds, is_news AS "is_news!",
             pending_commands AS "pending_commands!: Json<Vec<Step<Box<RawValue>>>>", pending_commands_by
         FROM booted"#,
        charge_point,
        boot.vendor,
        boot.model,
        told.or(boot.serial_number.as_deref().filter(|_| certified.is_none())),
        boot.charge_box_serial,
        boot.firmware_version,
        boot.iccid,
        boot.imsi,
        boot.meter_type,
        boot.meter_serial,
        now,
        certified.is_some(),
        event::Kind::ChargePointBooted.as_str(),
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
    if answer.is_news {
        // Commands may have waited for this. The boot may have come in on another connection than the one that sends them.
        tell(connection, &[Notice::Queued { charge_point }]).await?;
    }
    Ok(Booted::Answered(BootAnswer {
        registration,
        interval_seconds: answer
            .boot_interval_seconds
            .and_then(|seconds| u32::try_from(seconds).ok()),
    }))
}
