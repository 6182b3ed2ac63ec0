//! Measures Voltgate with the simulator's charge points: all in one process, and as separate processes, each on a PostgreSQL of its own
//! that loses nothing.
//!
//! Simulator, services and PostgreSQL share the machine, so a rate says as much about the neighbours; what a message costs in processor
//! time is told for each process.

mod comparison;
mod database;
mod installation;
mod measure;
mod operator;
mod process;
mod registration;
mod settings;
mod simulation;
mod tables;
mod usage;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use simulator::open_files;

use installation::Installation;
use measure::Results;
use settings::Settings;

/// Fails where a row is missing or too much, so that a script notices.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let settings = Settings::parse();
    // The processes inherit it.
    open_files::allow(settings.most_stations()).map_err(anyhow::Error::msg)?;
    let mut results = Vec::new();
    let measured = measure(&settings, &mut results).await;
    // Whatever has failed since, what was measured before is told.
    let told = tell(&settings, &results);
    measured?;
    told?;
    Ok(if results.iter().all(|result| result.missing.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One setup after the other.
async fn measure(settings: &Settings, results: &mut Vec<Results>) -> Result<()> {
    for &setup in &settings.setups {
        let installation = Installation::start(setup, settings).await?;
        let result = Results::measure(&installation, settings).await;
        let stopped = installation.stop().await;
        results.push(result?);
        stopped?;
    }
    Ok(())
}

fn tell(settings: &Settings, results: &[Results]) -> Result<()> {
    if let Some(path) = &settings.json {
        let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::to_writer_pretty(file, results)?;
    }
    std::io::stdout().write_all(tables::markdown(results).as_bytes())?;
    Ok(())
}
