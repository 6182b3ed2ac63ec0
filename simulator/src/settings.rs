//! What to simulate. Every number has a bound, so that a run ends.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use url::Url;

use crate::central_system::CentralSystem;
use crate::fleet::Orders;
use crate::scenario::Scenario;
use crate::version::Version;

/// Charge points that exist in this process only
#[derive(Debug, Parser)]
#[command(name = "simulator", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Many charge points that do the same, and how long it took
    Fleet(FleetSettings),
    /// One charge point, played by hand
    Station(StationSettings),
    /// The charge points of a fleet, as CSV for POST /ocpp/charge-points/import
    ChargePoints(RowSettings),
    /// The id tokens of a fleet, as CSV for POST /ocpp/id-tokens/import
    IdTokens(RowSettings),
}

/// Where charge points connect to.
#[derive(Args, Debug)]
pub struct Connection {
    /// Where charge points connect to; their identity comes behind it
    #[arg(long, default_value = "ws://127.0.0.1:8080/ocpp")]
    pub url: Url,
    /// Authorities that wss:// trusts, in PEM; those of this machine where it is left out
    #[arg(long)]
    pub ca: Option<PathBuf>,
    /// Their password; empty for none (security profile 0)
    #[arg(
        long,
        env = "SIMULATOR_PASSWORD",
        hide_env_values = true,
        default_value = "a-simulated-password"
    )]
    pub password: String,
    /// The version of OCPP
    #[arg(long, value_enum, default_value = "1.6")]
    pub ocpp: Version,
    /// How long the other side may take to answer, in seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub patience: u64,
}

impl Connection {
    /// # Errors
    /// There is no such place.
    pub async fn central_system(&self) -> Result<CentralSystem> {
        let central = CentralSystem::find(&self.url, self.ca.as_deref()).await?;
        Ok(central
            .with_password(Some(self.password.clone()).filter(|password| !password.is_empty()))
            .with_patience(Duration::from_secs(self.patience))
            .speaking(self.ocpp))
    }
}

#[derive(Args, Debug)]
pub struct FleetSettings {
    #[arg(value_enum)]
    pub scenario: Scenario,
    #[command(flatten)]
    pub connection: Connection,
    /// How many charge points
    #[arg(long, short = 'n', default_value_t = 50, value_parser = stations)]
    pub stations: usize,
    /// What their identities and id tokens begin with
    #[arg(long, default_value = "SIM-", value_parser = prefix)]
    pub prefix: String,
    /// Messages a second of all together, by the clock (open loop); as fast as they are answered where it is left out
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// How long it takes, in seconds; a storm ends when all are there
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Seconds before that do not count
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub warm_up: u64,
    /// Seconds between the Heartbeats of an idle charge point
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub heartbeat: u64,
    /// How many may be connecting at a time before it begins
    #[arg(long, default_value_t = 100, value_parser = stations)]
    pub connecting: usize,
    /// Addresses of this machine to connect from, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub sources: Vec<IpAddr>,
    /// JSON instead of a table: a line when all are connected, and one at the end
    #[arg(long)]
    pub json: bool,
}

impl FleetSettings {
    pub fn orders(&self) -> Orders {
        let is_storm = !self.scenario.begins_online();
        Orders {
            scenario: self.scenario,
            stations: self.stations,
            prefix: self.prefix.clone(),
            rate: self.rate,
            heartbeat: Duration::from_secs(self.heartbeat),
            warm_up: Duration::from_secs(if is_storm { 0 } else { self.warm_up }),
            length: Duration::from_secs(self.seconds),
            connecting: self.connecting,
        }
    }
}

#[derive(Args, Debug)]
pub struct StationSettings {
    #[command(flatten)]
    pub connection: Connection,
    /// Its identity
    #[arg(long, value_parser = identity)]
    pub id: String,
    /// How many connectors it has
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub connectors: u32,
    /// Power of a charge, in W
    #[arg(long, default_value_t = 11_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub power: u32,
    /// Seconds between the MeterValues of a charge
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub meter: u64,
    /// Does not show frames
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Args, Debug)]
pub struct RowSettings {
    /// How many charge points
    #[arg(long, short = 'n', default_value_t = 50, value_parser = stations)]
    pub stations: usize,
    /// What their identities and id tokens begin with
    #[arg(long, default_value = "SIM-", value_parser = prefix)]
    pub prefix: String,
    /// The password of all; empty for none (security profile 0)
    #[arg(
        long,
        env = "SIMULATOR_PASSWORD",
        hide_env_values = true,
        default_value = "a-simulated-password"
    )]
    pub password: String,
}

/// The longest identity, and the longest prefix: behind it come up to seven digits, and an id token has 20 characters at the most.
const LONGEST_IDENTITY: usize = 48;
const LONGEST_PREFIX: usize = 13;

fn identity(text: &str) -> Result<String, String> {
    if text.is_empty() || text.trim() != text || text.chars().count() > LONGEST_IDENTITY {
        return Err(format!(
            "must have 1 to {LONGEST_IDENTITY} characters, with no space at either end"
        ));
    }
    // A colon ends the user name of Basic authentication.
    if text.chars().any(|character| character.is_control() || character == ':') {
        return Err("must consist of printable characters other than a colon".to_owned());
    }
    Ok(text.to_owned())
}

/// What an identity and a field of CSV can begin with.
fn prefix(text: &str) -> Result<String, String> {
    if text.chars().count() > LONGEST_PREFIX || text.trim_start() != text {
        return Err(format!(
            "must have up to {LONGEST_PREFIX} characters, with no space before them"
        ));
    }
    let is_bad = |character: char| character.is_control() || matches!(character, ':' | ',' | '"');
    if text.chars().any(is_bad) {
        return Err("must consist of printable characters other than colons, commas and quotation marks".to_owned());
    }
    Ok(text.to_owned())
}

fn stations(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1_000_000) => Ok(number),
        _ => Err("must be a number from 1 to 1000000".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.01..=1_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("must be a number from 0.01 to 1000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_beyond_their_bounds_are_refused() {
        for arguments in [
            ["--stations", "0"],
            ["--rate", "NaN"],
            ["--rate", "-1"],
            ["--seconds", "0"],
        ] {
            let cli = Cli::try_parse_from([&["simulator", "fleet", "charge"], &arguments[..]].concat());
            assert!(cli.is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn what_can_be_no_identity_is_refused() {
        assert_eq!(identity("Bay 1/é").as_deref(), Ok("Bay 1/é"));
        let too_long = "x".repeat(49);
        for text in ["", " CP1", "CP:1", "CP\n1", too_long.as_str()] {
            assert!(identity(text).is_err(), "{text:?}");
        }
        assert_eq!(prefix("SIM-").as_deref(), Ok("SIM-"));
        assert!(prefix("thirteen-of-x").is_ok());
        for text in ["fourteen-of-xx", "a,b", "a:b", "a\"b", " a"] {
            assert!(prefix(text).is_err(), "{text:?}");
        }
    }
}
