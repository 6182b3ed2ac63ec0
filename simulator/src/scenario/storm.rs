//! All connect and boot at once, as after a power cut. How long a BootNotification takes is counted from when its charge point was due
//! to connect.

use std::net::IpAddr;

use crate::fleet::Member;
use crate::pace::Turn;
use crate::station::{Station, StationError};

/// A charge point that comes in the storm.
#[derive(Debug)]
pub struct Storm {
    pub turn: Turn,
    pub source: Option<IpAddr>,
}

impl Storm {
    /// # Errors
    /// It does not get in.
    pub async fn play(self, member: &mut Member) -> Result<Station, StationError> {
        let mut station = member.connect(self.source).await?;
        member.boot(&mut station, Some(self.turn)).await?;
        Ok(station)
    }
}
