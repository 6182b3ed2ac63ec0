//! Everything that is measured of one installation, one after the other.

mod fleet;
mod idle;
mod rest;

use anyhow::Result;
use serde::Serialize;

use crate::comparison::Answered;
use crate::installation::Installation;
use crate::registration::register;
use crate::settings::{Measure, Settings, Setup};

pub use self::fleet::Exchanged;
pub use self::idle::Idle;
pub use self::rest::Read;

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Results {
    pub setup: Setup,
    pub database: String,
    pub idle: Vec<Idle>,
    pub exchanged: Vec<Exchanged>,
    pub read: Vec<Read>,
    /// What the database has not, of what was answered.
    pub missing: Vec<String>,
}

impl Results {
    /// # Errors
    /// The measuring itself went wrong.
    pub async fn measure(installation: &Installation, settings: &Settings) -> Result<Self> {
        register(&installation.gateway, settings.most_stations()).await?;
        let mut results = Self {
            setup: installation.setup,
            database: installation.database.durability().await?,
            idle: Vec::new(),
            exchanged: Vec::new(),
            read: Vec::new(),
            missing: Vec::new(),
        };
        let mut answered = Answered::default();
        // Reads come last: what there is to read then has been brought by no charge point.
        let (reads, fleets): (Vec<_>, Vec<_>) =
            settings.measures.iter().partition(|measure| **measure == Measure::Rest);
        for measure in fleets {
            match measure {
                Measure::Idle => results.idle = idle::measure(installation, settings, &mut answered).await?,
                Measure::Storm => results
                    .exchanged
                    .push(fleet::storm(installation, settings, &mut answered).await?),
                Measure::Charge | Measure::Heartbeats => {
                    let scenario = if measure == Measure::Charge {
                        "charge"
                    } else {
                        "heartbeats"
                    };
                    let exchanged = fleet::exchange(installation, settings, scenario, &mut answered).await?;
                    results.exchanged.push(exchanged);
                }
                Measure::Rest => {}
            }
        }
        results.missing = answered.compare(installation.database.pool()).await?;
        if !reads.is_empty() {
            results.read = rest::measure(installation, settings).await?;
        }
        Ok(results)
    }
}
