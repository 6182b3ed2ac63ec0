//! What is measured, and for how long.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::Serialize;

/// Measures Voltgate with simulated charge points
#[derive(Debug, Parser)]
#[command(name = "load", version)]
pub struct Settings {
    /// How Voltgate is set up, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["all-in-one", "separate"])]
    pub setups: Vec<Setup>,
    /// What is measured, separated by commas, in this order
    #[arg(
        long, value_enum, value_delimiter = ',',
        default_values = ["idle", "storm", "charge", "heartbeats", "rest"]
    )]
    pub measures: Vec<Measure>,
    /// How long each of them takes, in seconds; a REST read no longer than 240
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Charge points that charge and send heartbeats
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub stations: u32,
    /// Messages a second with open loop; closed loop where it is left out
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: Option<u32>,
    /// Idle charge points, one number after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 10_000, 50_000], value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub idle: Vec<u32>,
    /// Charge points that boot at once
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub storm: u32,
    /// Transactions that there are when lists are read
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub rows: u32,
    /// Connections that REST requests come on
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub connections: u16,
    /// A setting of Voltgate besides, as in DATABASE_MAX_CONNECTIONS=20; several times for several
    #[arg(long = "set", value_parser = assignment)]
    pub set: Vec<(String, String)>,
    /// A setting of PostgreSQL besides, as in shared_buffers=1GB
    #[arg(long = "postgres", value_parser = assignment)]
    pub postgres: Vec<(String, String)>,
    /// A folder for the databases; a temporary one where it is left out
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// A file for every figure, as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// How Voltgate is set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Setup {
    /// Everything in one process
    AllInOne,
    /// A process for each service
    Separate,
}

/// Something to measure.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Measure {
    /// Memory of charge points that are connected and silent
    Idle,
    /// Charge points that all boot at once
    Storm,
    /// Charges, one after the other
    Charge,
    /// Heartbeats and StatusNotifications
    Heartbeats,
    /// REST reads
    Rest,
}

impl Settings {
    /// Charge points of the largest measure.
    pub fn most_stations(&self) -> usize {
        let mut most = self.stations;
        if self.measures.contains(&Measure::Storm) {
            most = most.max(self.storm);
        }
        if self.measures.contains(&Measure::Idle) {
            most = self.idle.iter().fold(most, |most, &idle| most.max(idle));
        }
        most as usize
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Settings::command().debug_assert();
    }

    #[test]
    fn files_are_opened_for_the_largest_measure_that_is_wanted() {
        let most = |arguments: &[&str]| {
            let settings = Settings::try_parse_from([&["load"], arguments].concat());
            settings.expect("it can be read").most_stations()
        };
        assert_eq!(most(&[]), 50_000);
        assert_eq!(most(&["--measures", "charge,rest"]), 50);
        assert_eq!(most(&["--measures", "storm", "--storm", "700"]), 700);
    }
}
