//! Charge points that say much, and what a message costs.

use anyhow::Result;
use serde::Serialize;
use simulator::report::Report;

use crate::comparison::Answered;
use crate::installation::{Installation, Used};
use crate::settings::Settings;
use crate::simulation::Simulation;

/// What charge points have seen, and what it took.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchanged {
    pub report: Report,
    /// Messages in the time that `used` is of.
    pub messages: u64,
    pub used: Used,
    /// The simulator's own processor time in that time.
    pub simulator_seconds: f64,
}

impl Exchanged {
    /// Of a process, or of all, in milliseconds a message; the same number is seconds for a thousand.
    pub fn per_message(&self, processor_seconds: f64) -> f64 {
        processor_seconds * 1000.0 / (self.messages.max(1) as f64)
    }
}

/// A scenario that begins once all are connected.
pub async fn exchange(
    installation: &Installation,
    settings: &Settings,
    scenario: &str,
    answered: &mut Answered,
) -> Result<Exchanged> {
    let mut options = vec![
        ("--stations", settings.stations.to_string()),
        ("--seconds", settings.seconds.to_string()),
    ];
    options.extend(settings.rate.map(|rate| ("--rate", rate.to_string())));
    let mut simulation = Simulation::start(&installation.gateway, scenario, &options)?;
    let ready = simulation.ready().await?;
    let before = installation.usage().await?;
    let simulator_before = simulation.processor_time()?;
    let (report, simulator) = simulation.report().await?;
    let used = installation.used_since(&before).await?;
    answered.add(&report);
    let messages = report.answered.values().sum::<u64>() - ready.answered;
    Ok(Exchanged {
        report,
        messages,
        used,
        simulator_seconds: simulator.saturating_sub(simulator_before).as_secs_f64(),
    })
}

/// All boot at once.
pub async fn storm(installation: &Installation, settings: &Settings, answered: &mut Answered) -> Result<Exchanged> {
    let options = [
        ("--stations", settings.storm.to_string()),
        ("--seconds", "300".to_owned()),
        // The last ones wait for all before them.
        ("--patience", "300".to_owned()),
    ];
    let before = installation.usage().await?;
    let simulation = Simulation::start(&installation.gateway, "storm", &options)?;
    let (report, simulator) = simulation.report().await?;
    let used = installation.used_since(&before).await?;
    answered.add(&report);
    let messages = report.answered.values().sum();
    Ok(Exchanged {
        report,
        messages,
        used,
        simulator_seconds: simulator.as_secs_f64(),
    })
}
