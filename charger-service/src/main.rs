//! charger-service as a process of its own.

use charger_service::{Application, NAME, Settings};
use clap::Parser;
use service_kit::process::{CommonSettings, Process};
use service_kit::settings::load_dotenv;

/// The charge points of a charging network, over gRPC.
#[derive(Parser)]
#[command(name = NAME, version, about)]
struct Arguments {
    #[command(flatten)]
    common: CommonSettings,
    #[command(flatten)]
    charger: Settings,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    load_dotenv()?;
    let arguments = Arguments::parse();
    let process = Process::start(&arguments.common.process).await?;
    if arguments.common.bus.amqp_url.as_deref().is_none_or(str::is_empty) {
        tracing::warn!(
            "AMQP_URL is not set, so nobody tells that accounts are deleted, and the audit log keeps where they were"
        );
    }
    let application = Application::build(arguments.charger, arguments.common.shared()?).await?;
    tracing::info!(grpc = %application.local_addr(), admin = %process.admin_addr(), "charger-service listens");
    process
        .run(|shutdown| application.run(shutdown))
        .await
        .map_err(anyhow::Error::from_boxed)?;
    tracing::info!("charger-service stopped");
    Ok(())
}
