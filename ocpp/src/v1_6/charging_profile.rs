//! Charging profiles: how much power may flow, from when and in which order of precedence. RemoteStartTransaction is read
//! here too, since what it changes at a station before the transaction starts is the profile that it brings.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

/// What tells profiles apart; the schedule stays in `json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargingProfile<'a> {
    pub id: i32,
    pub transaction_id: Option<i32>,
    pub stack_level: i32,
    /// `ChargePointMaxProfile`, `TxDefaultProfile` or `TxProfile`.
    pub purpose: String,
    /// `Absolute`, `Recurring` or `Relative`.
    pub kind: String,
    pub valid_from: Option<DateTime<Utc>>,
    pub valid_to: Option<DateTime<Utc>>,
    /// The whole of it, as it was written.
    pub json: &'a str,
}

impl<'a> ChargingProfile<'a> {
    fn read(fields: Fields<'a>) -> Result<ChargingProfile<'a>, Unreadable> {
        Ok(ChargingProfile {
            id: fields.required_small_integer("chargingProfileId")?,
            transaction_id: fields.small_integer("transactionId"),
            stack_level: fields.required_small_integer("stackLevel")?,
            purpose: fields.required_text("chargingProfilePurpose")?,
            kind: fields.required_text("chargingProfileKind")?,
            valid_from: fields.time("validFrom"),
            valid_to: fields.time("validTo"),
            json: fields.as_json(),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetChargingProfile<'a> {
    /// 0 is the charge point as a whole.
    pub connector_id: i32,
    pub profile: ChargingProfile<'a>,
}

impl<'a> SetChargingProfile<'a> {
    pub fn read(payload: &'a RawValue) -> Result<SetChargingProfile<'a>, Unreadable> {
        let fields = Fields::of(payload);
        let profile = fields.object("csChargingProfiles").ok_or(Unreadable {
            field: "csChargingProfiles",
        })?;
        Ok(SetChargingProfile {
            connector_id: fields.required_small_integer("connectorId")?,
            profile: ChargingProfile::read(profile)?,
        })
    }
}

/// One profile by its id, or all that match the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearChargingProfile {
    pub id: Option<i32>,
    pub connector_id: Option<i32>,
    pub purpose: Option<String>,
    pub stack_level: Option<i32>,
}

impl ClearChargingProfile {
    pub fn read(payload: &RawValue) -> ClearChargingProfile {
        let fields = Fields::of(payload);
        ClearChargingProfile {
            id: fields.small_integer("id"),
            connector_id: fields.small_integer("connectorId"),
            purpose: fields.text("chargingProfilePurpose"),
            stack_level: fields.small_integer("stackLevel"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteStartTransaction<'a> {
    pub connector_id: Option<i32>,
    pub id_tag: String,
    pub profile: Option<ChargingProfile<'a>>,
}

impl<'a> RemoteStartTransaction<'a> {
    pub fn read(payload: &'a RawValue) -> Result<RemoteStartTransaction<'a>, Unreadable> {
        let fields = Fields::of(payload);
        Ok(RemoteStartTransaction {
            connector_id: fields.small_integer("connectorId"),
            id_tag: fields.required_text("idTag")?,
            profile: fields
                .object("chargingProfile")
                .map(ChargingProfile::read)
                .transpose()?,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetCompositeSchedule {
    pub connector_id: i32,
    /// Seconds.
    pub duration: i32,
}

impl GetCompositeSchedule {
    pub fn read(payload: &RawValue) -> Result<GetCompositeSchedule, Unreadable> {
        let fields = Fields::of(payload);
        Ok(GetCompositeSchedule {
            connector_id: fields.required_small_integer("connectorId")?,
            duration: fields.required_small_integer("duration")?,
        })
    }
}

/// A station's answer to GetCompositeSchedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompositeSchedule<'a> {
    pub start: Option<DateTime<Utc>>,
    /// The chargingSchedule, as it was written.
    pub json: Option<&'a str>,
}

impl<'a> CompositeSchedule<'a> {
    pub fn read(payload: &'a RawValue) -> CompositeSchedule<'a> {
        let fields = Fields::of(payload);
        CompositeSchedule {
            start: fields.time("scheduleStart"),
            json: fields.object("chargingSchedule").map(|schedule| schedule.as_json()),
        }
    }
}
