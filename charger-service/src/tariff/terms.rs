//! What a tariff says of prices: in which currency, what each part of a charge costs and when, and which taxes come on top.
//!
//! A charge has four parts: the energy, the time that it charged, the time that it stood idle (the vehicle took nothing), and
//! the session itself. Elements are read from the first to the last: at each moment a part costs what the first element says
//! that has a price for it and whose window holds the moment; where there is none, it is free. So tariffs are read in OCPI.

use iso_currency::Currency;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::window::Window;

/// Kept as JSON with each version of a tariff and with each charge record, so that names in it are never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// ISO 4217.
    pub currency: Currency,
    /// Each on the sum of all parts.
    pub taxes: Vec<Tax>,
    /// How much idle time of a session costs nothing.
    pub idle_free_minutes: u32,
    pub elements: Vec<Element>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    pub name: String,
    pub percent: Decimal,
}

/// Prices before taxes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Element {
    /// Always, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// For a kWh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_price: Option<Decimal>,
    /// For an hour of charging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_price: Option<Decimal>,
    /// For an hour of standing idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_price: Option<Decimal>,
    /// For the session, by when it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_price: Option<Decimal>,
}

/// What is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Energy,
    Time,
    Idle,
    Session,
}

impl Part {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::Time => "time",
            Self::Idle => "idle",
            Self::Session => "session",
        }
    }

    /// What a price is for one of.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Energy => "kWh",
            Self::Time | Self::Idle => "h",
            Self::Session => "session",
        }
    }
}

impl Element {
    pub fn price(&self, part: Part) -> Option<Decimal> {
        match part {
            Part::Energy => self.energy_price,
            Part::Time => self.time_price,
            Part::Idle => self.idle_price,
            Part::Session => self.session_price,
        }
    }
}

impl Terms {
    pub fn has_price(&self, part: Part) -> bool {
        self.elements.iter().any(|element| element.price(part).is_some())
    }

    /// Whether prices depend on when.
    pub fn has_windows(&self) -> bool {
        self.elements.iter().any(|element| element.window.is_some())
    }

    /// Digits after the point of what is paid in the end.
    pub fn minor_digits(&self) -> u32 {
        self.currency.exponent().map_or(2, u32::from)
    }
}
