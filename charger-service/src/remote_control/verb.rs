//! What a charge point is to do, whatever version of OCPP it speaks. Each version's folder has the words for it.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    StartCharging {
        id_token: String,
        /// None leaves it to the charge point.
        connector_id: Option<i32>,
    },
    StopCharging {
        transaction_id: i32,
    },
    UnlockConnector {
        connector_id: i32,
    },
    Reset {
        /// Without ending what runs in good order first.
        immediately: bool,
    },
    SetAvailability {
        /// 0 is the charge point as a whole.
        connector_id: i32,
        operative: bool,
    },
    SetChargingLimit(ChargingLimit),
    ClearChargingLimit {
        connector_id: i32,
    },
}

/// How much may flow from when the charge point takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargingLimit {
    /// 0 is the charge point as a whole; otherwise what each charge at the connector may take.
    pub connector_id: i32,
    /// In tenths of the unit at the finest.
    pub limit: Decimal,
    pub unit: Unit,
    pub phases: Option<i32>,
    pub until: Option<DateTime<Utc>>,
    /// As high above other profiles as the charge point lets, without taking the place of one.
    pub stack_level: i32,
}

/// By the letter that stands for it in the API, in OCPP, and wherever it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Of all phases together.
    #[serde(rename = "W")]
    Watts,
    /// Of each phase.
    #[serde(rename = "A")]
    Amperes,
}

impl Unit {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watts => "W",
            Self::Amperes => "A",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Watts, Self::Amperes]
            .into_iter()
            .find(|unit| unit.as_str() == text)
    }
}
