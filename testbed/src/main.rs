//! Runs a command with a PostgreSQL, a RabbitMQ and a Redis that are private to it, and ends them afterwards.
//!
//! ```text
//! testbed [--postgres-only] [--] COMMAND [ARGUMENT…]
//! ```
//!
//! The command finds them through `TEST_POSTGRES_URL`, `TEST_RABBITMQ_URL`, `TEST_RABBITMQ_API_URL` and
//! `TEST_REDIS_URL`. Its exit code is ours. Whatever happens to us, a `kill -9` included, no server outlives us.

mod command;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use private_postgres::{Cluster, Durability, Options};
use tempfile::TempDir;
use testbed::{RabbitMq, Redis};
use tokio::signal::unix::{Signal, SignalKind, signal};

use command::Arguments;

// One thread, because the kernel ties "your parent died" to the thread that started the child.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<u8> {
    let arguments = Arguments::parse(std::env::args_os().skip(1))?;
    let mut stop = StopSignals::new()?;
    let bed = tokio::select! {
        bed = Bed::start(arguments.postgres_only) => bed?,
        () = stop.received() => bail!("stopped before the command could start"),
    };
    let code = command::run(&arguments, bed.variables(), &mut stop).await;
    bed.stop().await?;
    code
}

/// What the command stands on. Fields are dropped in this order: servers first, then their files.
struct Bed {
    rabbitmq: Option<RabbitMq>,
    redis: Option<Redis>,
    postgres: Cluster,
    _folder: TempDir,
}

impl Bed {
    async fn start(postgres_only: bool) -> Result<Bed> {
        // The user that PostgreSQL runs as under root has to get in.
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        let folder = tempfile::Builder::new()
            .prefix("testbed-")
            .permissions(readable)
            .tempdir()
            .context("cannot make a temporary folder")?;
        let (postgres, rabbitmq, redis) = tokio::try_join!(
            start_postgres(folder.path()),
            start_rabbitmq(folder.path(), postgres_only),
            start_redis(folder.path(), postgres_only)
        )?;
        Ok(Bed {
            rabbitmq,
            redis,
            postgres,
            _folder: folder,
        })
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("TEST_POSTGRES_URL", self.postgres.url("postgres"))];
        if let Some(rabbitmq) = &self.rabbitmq {
            variables.push(("TEST_RABBITMQ_URL", rabbitmq.url()));
            variables.push(("TEST_RABBITMQ_API_URL", rabbitmq.api_url()));
        }
        if let Some(redis) = &self.redis {
            variables.push(("TEST_REDIS_URL", redis.url()));
        }
        variables
    }

    async fn stop(self) -> Result<()> {
        if let Some(rabbitmq) = self.rabbitmq {
            rabbitmq.stop().await?;
        }
        if let Some(redis) = self.redis {
            redis.stop().await?;
        }
        // It can lie outside our temporary folder, where its user could not reach that one.
        let folder = self.postgres.folder().to_owned();
        self.postgres.stop().await.context("cannot stop PostgreSQL")?;
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
    }
}

async fn start_postgres(folder: &Path) -> Result<Cluster> {
    let options = Options {
        folder: folder.join("postgres"),
        durability: Durability::ForTests,
    };
    Cluster::start(options).await.context("cannot start PostgreSQL")
}

async fn start_rabbitmq(folder: &Path, postgres_only: bool) -> Result<Option<RabbitMq>> {
    if postgres_only {
        return Ok(None);
    }
    RabbitMq::start(&folder.join("rabbitmq")).await.map(Some)
}

async fn start_redis(folder: &Path, postgres_only: bool) -> Result<Option<Redis>> {
    if postgres_only {
        return Ok(None);
    }
    Redis::start(&folder.join("redis")).await.map(Some)
}

/// The two signals that ask us to stop.
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn new() -> Result<StopSignals> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
