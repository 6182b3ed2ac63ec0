//! email-service as a process of its own.

use anyhow::{Result, anyhow};
use clap::Parser;
use email_service::{Application, NAME, Settings};
use service_kit::process::{CommonSettings, Process};
use service_kit::settings::load_dotenv;

/// Mail of a charging network: takes events from the queue and sends what they call for.
#[derive(Parser)]
#[command(name = NAME, version, about)]
struct Arguments {
    #[command(flatten)]
    common: CommonSettings,
    #[command(flatten)]
    email: Settings,
}

#[tokio::main]
async fn main() -> Result<()> {
    load_dotenv()?;
    let arguments = Arguments::parse();
    let process = Process::start(&arguments.common.process).await?;

    let application = Application::build(arguments.email, arguments.common.shared()?).await?;
    tracing::info!(grpc = %application.local_addr(), admin = %process.admin_addr(), "email-service listens");

    process
        .run(|shutdown| application.run(shutdown))
        .await
        .map_err(|error| anyhow!(error))?;
    tracing::info!("email-service stopped");
    Ok(())
}
