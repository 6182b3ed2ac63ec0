//! `simulator`: a fleet of charge points, or one that is played by hand.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use serde_json::json;

use simulator::fleet::Fleet;
use simulator::interactive;
use simulator::registration;
use simulator::settings::{Cli, Command, FleetSettings, RowSettings};
use simulator::source::Sources;
use simulator::{open_files, progress};

// One thread: it is enough for tens of thousands of messages a second, and leaves the other processors to what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Fleet(settings) => fleet(settings).await,
        Command::Station(settings) => interactive::run(settings).await.map(|()| ExitCode::SUCCESS),
        Command::ChargePoints(settings) => {
            let RowSettings {
                stations,
                prefix,
                password,
            } = settings;
            let password = Some(password.as_str()).filter(|password| !password.is_empty());
            print(&registration::charge_points(&prefix, 0..stations, password))
        }
        Command::IdTokens(settings) => print(&registration::id_tokens(&settings.prefix, 0..settings.stations)),
    }
}

/// Fails where anything went wrong with a charge point, so that a script notices.
async fn fleet(settings: FleetSettings) -> Result<ExitCode> {
    open_files::allow(settings.stations).map_err(anyhow::Error::msg)?;
    let central = settings.connection.central_system().await?;
    let sources = Sources::choose(&settings.sources, central.address(), settings.stations);
    let fleet = Fleet::new(central, settings.orders(), sources)?;
    let json = settings.json;
    let ready = |online, elapsed: std::time::Duration| {
        if json {
            let answered = fleet.statistics().glance().answered;
            // Whoever waits for it notices when standard output is closed.
            let _ = print(&format!(
                "{}\n",
                json!({"online": online, "seconds": elapsed.as_secs_f64(), "answered": answered})
            ));
        }
    };
    let report = tokio::select! {
        report = fleet.run(ready) => report?,
        () = progress::show(&fleet) => anyhow::bail!("nobody asked for an end"),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            return Ok(ExitCode::from(130));
        }
    };
    if json {
        print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        print(&report.table())?;
    }
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(text: &str) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
