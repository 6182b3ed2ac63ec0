//! The gateway as a process of its own.

use anyhow::{Result, anyhow};
use clap::Parser;
use gateway::{Application, NAME, PublicAddresses, Settings};
use mimalloc::MiMalloc;
use service_kit::process::{CommonSettings, Process};
use service_kit::settings::load_dotenv;

/// Some two hundred small things are made and dropped for each request.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The public door of a charging network: REST and charge points in front, gRPC services behind.
#[derive(Parser)]
#[command(name = NAME, version, about)]
struct Arguments {
    #[command(flatten)]
    common: CommonSettings,
    #[command(flatten)]
    gateway: Settings,
}

#[tokio::main]
async fn main() -> Result<()> {
    load_dotenv()?;
    let arguments = Arguments::parse();
    let process = Process::start(&arguments.common.process).await?;

    let application = Application::build(arguments.gateway, arguments.common.shared()?).await?;
    let PublicAddresses { http, https } = application.addresses();
    tracing::info!(?http, ?https, admin = %process.admin_addr(), "The gateway listens");

    process
        .run(|shutdown| application.run(shutdown))
        .await
        .map_err(|error| anyhow!(error))?;
    tracing::info!("The gateway stopped");
    Ok(())
}
