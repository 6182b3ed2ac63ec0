//! What a template says: how much may flow when, and which other profiles it outweighs.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde::{Deserialize, Serialize};
use service_kit::event::timestamp;
use voltgate_proto::ocpp::v1::{ChargingSchedule, ChargingSchedulePeriod};

use crate::remote_control::verb::Unit;

/// Kept as JSON with the template, so that names in it are never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    pub purpose: Purpose,
    /// 0 or more.
    pub stack_level: i32,
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<DateTime<Utc>>,
    pub unit: Unit,
    /// In the order of their beginnings; the first begins at 0.
    pub periods: Vec<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_rate: Option<Decimal>,
}

/// What a profile limits. One for a transaction is nothing to keep: there is none before the transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// All connectors of a charge point together.
    ChargePointMaxProfile,
    /// Each charge that has no profile of its own.
    TxDefaultProfile,
}

/// What the times of a schedule are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum Kind {
    Absolute {
        starts_at: DateTime<Utc>,
    },
    Recurring {
        starts_at: DateTime<Utc>,
        recurrency: Recurrency,
    },
    /// The beginning of each charge.
    Relative,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recurrency {
    Daily,
    Weekly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Period {
    pub start_seconds: i32,
    /// In tenths of the unit at the finest.
    pub limit: Decimal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<i32>,
}

impl Purpose {
    /// As OCPP 1.6 calls it, and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChargePointMaxProfile => "ChargePointMaxProfile",
            Self::TxDefaultProfile => "TxDefaultProfile",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::ChargePointMaxProfile, Self::TxDefaultProfile]
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
    }
}

impl Kind {
    /// As OCPP calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absolute { .. } => "Absolute",
            Self::Recurring { .. } => "Recurring",
            Self::Relative => "Relative",
        }
    }

    pub fn starts_at(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Absolute { starts_at } | Self::Recurring { starts_at, .. } => Some(starts_at),
            Self::Relative => None,
        }
    }

    pub fn recurrency(self) -> Option<Recurrency> {
        match self {
            Self::Recurring { recurrency, .. } => Some(recurrency),
            Self::Absolute { .. } | Self::Relative => None,
        }
    }
}

impl Recurrency {
    /// As OCPP calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "Daily",
            Self::Weekly => "Weekly",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Daily, Self::Weekly]
            .into_iter()
            .find(|recurrency| recurrency.as_str() == text)
    }

    /// After so long a schedule begins anew.
    pub fn seconds(self) -> i32 {
        match self {
            Self::Daily => 86_400,
            Self::Weekly => 604_800,
        }
    }
}

impl From<&Profile> for ChargingSchedule {
    fn from(profile: &Profile) -> Self {
        Self {
            unit: profile.unit.as_str().to_owned(),
            starts_at: profile.kind.starts_at().map(timestamp),
            duration_seconds: profile.duration_seconds,
            periods: profile.periods.iter().map(ChargingSchedulePeriod::from).collect(),
            minimum_rate: profile.minimum_rate.and_then(|rate| rate.to_f64()),
        }
    }
}

impl From<&Period> for ChargingSchedulePeriod {
    fn from(period: &Period) -> Self {
        Self {
            start_seconds: period.start_seconds,
            limit: period.limit.to_f64(),
            phases: period.phases,
        }
    }
}
