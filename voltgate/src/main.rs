//! Voltgate in one process: gateway, auth-, charger- and email-service over loopback gRPC, with a private PostgreSQL and
//! no broker, unless settings name others. The services are the same as in their own binaries.

mod announce;
mod data_folder;
mod database;
mod env_template;
mod secrets;
mod services;
mod settings;

use anyhow::Context;
use clap::Parser;
use service_kit::process::Process;

use crate::data_folder::DataFolder;
use crate::database::Database;
use crate::services::Services;
use crate::settings::{Cli, Command};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service_kit::settings::load_dotenv()?;
    let mut cli = Cli::parse();
    if let Some(Command::Settings) = cli.command {
        announce::print(&env_template::render());
        return Ok(());
    }

    let process = Process::start(&cli.settings.common.process).await?;
    let folder = DataFolder::open(&cli.settings.data_dir)?;
    secrets::fill_in(&mut cli.settings, &folder)?;
    cli.settings
        .email
        .email_folder
        .get_or_insert_with(|| folder.join("mail"));
    // A run on one machine, for trying things out: the simplest charge point may connect unless that was ruled out.
    cli.settings.charger.charger_allow_unsecured.get_or_insert(true);
    cli.settings.gateway.gateway_http_binding.get_or_insert(true);
    let public_url = cli.settings.public_url();
    cli.settings.charger.charger_public_url = public_url;
    let database = Database::open(&mut cli.settings, &folder).await?;

    let result = run(process, cli, &database).await;
    database.close().await.context("PostgreSQL did not stop")?;
    result
}

async fn run(process: Process, cli: Cli, database: &Database) -> anyhow::Result<()> {
    let services = Services::build(cli.settings).await?;
    announce::print(&services.announcement(process.admin_addr()));
    process
        .run(|shutdown| services.run(shutdown, database))
        .await
        .map_err(anyhow::Error::from_boxed)
}
