//! The settings of everything in one process.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use service_kit::process::CommonSettings;

/// Voltgate, all in one process
#[derive(Parser)]
#[command(name = "voltgate", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub settings: Settings,
}

#[derive(Subcommand)]
pub enum Command {
    /// Prints every setting with its default, in the form of `.env.template`
    Settings,
}

#[derive(Args)]
#[group(skip)]
pub struct Settings {
    /// Where `voltgate` keeps its private database, its secrets and its mail
    #[arg(long, env, default_value = "./data")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub common: CommonSettings,
    #[command(flatten)]
    pub gateway: gateway::Settings,
    #[command(flatten)]
    pub auth: auth_service::Settings,
    #[command(flatten)]
    pub charger: charger_service::Settings,
    #[command(flatten)]
    pub email: email_service::Settings,
}
