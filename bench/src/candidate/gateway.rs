//! The gateway, with access rules and all else that is on by default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use uuid::Uuid;

use crate::process::Process;
use crate::settings::Settings;

/// Bounds that are there to keep load away, wide enough for a benchmark's: they are still looked at for each request.
const BOUNDS: [(&str, &str); 3] = [
    ("GATEWAY_MAX_CALLS", "10000"),
    ("GATEWAY_RATE_LIMIT_READ", RATE_LIMIT),
    ("GATEWAY_RATE_LIMIT_WRITE", RATE_LIMIT),
];

/// All requests come from one address.
const RATE_LIMIT: &str = "stranger=1000000/1s,account=1000000/1s,key=1000000/1s,address=1000000/1s";

/// # Errors
/// It does not start.
pub async fn quiet(settings: &Settings, at: SocketAddr, upstream: SocketAddr, folder: &Path) -> Result<Process> {
    start("gateway", "warn", settings, at, upstream, folder).await
}

/// # Errors
/// It does not start.
pub async fn with_log(settings: &Settings, at: SocketAddr, upstream: SocketAddr, folder: &Path) -> Result<Process> {
    start("gateway-with-log", "info", settings, at, upstream, folder).await
}

async fn start(
    name: &str,
    log_filter: &str,
    settings: &Settings,
    at: SocketAddr,
    upstream: SocketAddr,
    folder: &Path,
) -> Result<Process> {
    let program = match &settings.gateway {
        Some(path) => std::path::absolute(path)?,
        None => beside_this_program()?,
    };
    let mut command = Command::new(program);
    command
        // Nobody's `.env`.
        .current_dir(folder)
        .env_clear()
        .env("TOKIO_WORKER_THREADS", "1")
        .env("LOG_FILTER", log_filter)
        .env("ADMIN_LISTEN", "127.0.0.1:0")
        .env("GATEWAY_LISTEN", at.to_string())
        .env(
            "GATEWAY_UPSTREAMS",
            format!("auth=http://{upstream},ocpp=http://{upstream},email=http://{upstream}"),
        )
        .env("AUTH_URL", format!("http://{upstream}"))
        .env("SERVICE_SECRET", format!("{}{}", Uuid::new_v4(), Uuid::new_v4()))
        .envs(BOUNDS);
    Process::start(command, name, at, folder).await
}

fn beside_this_program() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    Ok(program.with_file_name("gateway"))
}
