//! auth-service as a process of its own.

use anyhow::{Result, anyhow};
use auth_service::{Administrator, Application, NAME, Settings};
use clap::Parser;
use service_kit::process::{CommonSettings, Process};
use service_kit::settings::load_dotenv;

/// Accounts of a charging network, and the tokens that prove them, over gRPC.
#[derive(Parser)]
#[command(name = NAME, version, about)]
struct Arguments {
    #[command(flatten)]
    common: CommonSettings,
    #[command(flatten)]
    auth: Settings,
}

#[tokio::main]
async fn main() -> Result<()> {
    load_dotenv()?;
    let arguments = Arguments::parse();
    let process = Process::start(&arguments.common.process).await?;

    let application = Application::build(arguments.auth, arguments.common.shared()?).await?;
    match application.first_administrator().await? {
        Administrator::AlreadyThere | Administrator::Created { .. } => {}
        // This process has nobody to show a password to, so it does not ask for one to be made up.
        Administrator::Missing | Administrator::CreatedWithPassword { .. } => {
            tracing::warn!(
                "There is no administrator: set ADMIN_USERNAME and ADMIN_PASSWORD and start again to get one"
            );
        }
    }
    tracing::info!(grpc = %application.local_addr(), admin = %process.admin_addr(), "auth-service listens");

    process
        .run(|shutdown| application.run(shutdown))
        .await
        .map_err(|error| anyhow!(error))?;
    tracing::info!("auth-service stopped");
    Ok(())
}
