//! Charge points that are connected and silent: how much memory each takes, and how long it took until they were there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tokio::time::sleep;

use crate::comparison::Answered;
use crate::installation::Installation;
use crate::settings::Settings;
use crate::simulation::Simulation;

/// Until what was taken for a while has been given back: by what went before, and by booting.
const SETTLING: Duration = Duration::from_secs(10);

/// Of so many charge points.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Idle {
    pub stations: u32,
    pub online: u64,
    /// Until all were there.
    pub connecting_seconds: f64,
    /// What each process has more than before any was connected, in KiB.
    pub more: BTreeMap<&'static str, i64>,
    pub errors: BTreeMap<String, u64>,
}

impl Idle {
    /// In KiB, of all processes together.
    pub fn each(&self) -> f64 {
        let more: i64 = self.more.values().sum();
        more as f64 / self.online.max(1) as f64
    }
}

/// One number after the other, the smallest first: what a larger one takes, a smaller one would find there already.
pub async fn measure(installation: &Installation, settings: &Settings, answered: &mut Answered) -> Result<Vec<Idle>> {
    let mut numbers = settings.idle.clone();
    numbers.sort_unstable();
    sleep(SETTLING).await;
    let before = installation.memory()?;
    let mut measured = Vec::new();
    for stations in numbers {
        let options = [
            ("--stations", stations.to_string()),
            ("--seconds", (2 * SETTLING).as_secs().to_string()),
            ("--warm-up", "0".to_owned()),
            ("--heartbeat", "3600".to_owned()),
        ];
        let mut simulation = Simulation::start(&installation.gateway, "idle", &options)?;
        let ready = simulation.ready().await?;
        sleep(SETTLING).await;
        let now = installation.memory()?;
        let (report, _) = simulation.report().await?;
        answered.add(&report);
        let more = now.iter().map(|(name, memory)| {
            let before = before.get(name).copied().unwrap_or_default();
            // Far below the bound of either.
            (*name, memory.cast_signed() - before.cast_signed())
        });
        measured.push(Idle {
            stations,
            online: ready.online,
            connecting_seconds: ready.seconds,
            more: more.collect(),
            errors: report.errors,
        });
    }
    Ok(measured)
}
