//! What the charge points of a fleet do.

mod charge;
mod heartbeats;
mod idle;
mod offline;
mod storm;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::fleet::Member;
use crate::pace::Turns;
use crate::station::{Station, StationError};

pub use self::storm::Storm;

/// One of them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Connected, with a Heartbeat every so often
    Idle,
    /// Heartbeats and StatusNotifications in turn
    Heartbeats,
    /// One charge after the other: Authorize, StartTransaction, five MeterValues, StopTransaction, a Heartbeat
    Charge,
    /// All connect and boot at once, or one after the other by `--rate`
    Storm,
    /// Charges that took place without a connection, told after it is back
    Offline,
}

impl Scenario {
    /// Whether being connected is where it begins, and no part of it.
    pub fn begins_online(self) -> bool {
        self != Self::Storm
    }

    /// Plays a charge point that is online until its turns are over.
    ///
    /// # Errors
    /// The charge point is not online any more.
    pub async fn play(self, member: &mut Member, station: Station, turns: &mut Turns) -> Result<Station, StationError> {
        match self {
            Self::Idle => idle::play(member, station, turns).await,
            Self::Heartbeats => heartbeats::play(member, station, turns).await,
            Self::Charge => charge::play(member, station, turns).await,
            Self::Offline => offline::play(member, station, turns).await,
            // What it is about is over.
            Self::Storm => Ok(station),
        }
    }
}
