//! What is measured, and for how long. Every number has a bound, so that a run ends.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::candidate::Kind;

/// Measures the gateway, Envoy and nginx side by side
#[derive(Debug, Parser)]
#[command(name = "bench", version, about)]
pub struct Settings {
    /// The gateway's binary; the one beside this program where it is left out
    #[arg(long)]
    pub gateway: Option<PathBuf>,
    /// Envoy's binary
    #[arg(long, default_value = "envoy")]
    pub envoy: PathBuf,
    /// nginx's binary
    #[arg(long, default_value = "/usr/sbin/nginx")]
    pub nginx: PathBuf,
    /// Only these, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Kind>,
    /// How often everything is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub rounds: u32,
    /// How long each measurement takes, in milliseconds
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..=30_000))]
    pub milliseconds: u64,
    /// Connections that requests come on
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub connections: u16,
    /// Requests a second with open loop; half of what the gateway does with closed loop where it is left out
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: Option<u32>,
    /// Accounts that ask, each with a token of its own
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub callers: u16,
    /// A file for every single figure, as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
}

impl Settings {
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }

    pub fn wants(&self, kind: Kind) -> bool {
        self.only.is_empty() || self.only.contains(&kind)
    }
}
