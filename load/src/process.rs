//! One of Voltgate's binaries as a child process.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a process may take to be ready, and to end.
const READY_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// How long one answer to whether it is ready may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Asks processes of this machine whether they are ready, past any proxy.
///
/// # Errors
/// There can be no client.
pub fn client() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWERS_WITHIN);
    Ok(client.build()?)
}

/// Variables that a process is started with. Nothing else is inherited but where programs are.
pub type Environment = BTreeMap<&'static str, String>;

/// A running process, which ends with this value.
pub struct Process {
    pub name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, and waits until its admin port says that it is ready. What it says goes to a file in the folder.
    ///
    /// # Errors
    /// It cannot be started, or is not ready in time.
    pub async fn start(
        name: &'static str,
        environment: &Environment,
        more: &[(String, String)],
        folder: &Path,
        client: &reqwest::Client,
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let said = File::create(&log)?;
        let child = Command::new(beside(name)?)
            .env_clear()
            .envs(
                ["PATH", "HOME", "LANG"]
                    .into_iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .envs(environment)
            .envs(more.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut process = Self { name, child, log };
        let admin = environment.get("ADMIN_LISTEN").context("a process has an admin port")?;
        process.ready(client, &format!("http://{admin}/readyz")).await?;
        Ok(process)
    }

    async fn ready(&mut self, client: &reqwest::Client, url: &str) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}:\n{}", self.name, self.said());
            }
            let answer = client.get(url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("{} is not ready:\n{}", self.name, self.said())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// # Errors
    /// It has ended.
    pub fn id(&self) -> Result<u32> {
        self.child
            .id()
            .with_context(|| format!("{} has ended:\n{}", self.name, self.said()))
    }

    /// Tells it to stop, and waits until it has.
    ///
    /// # Errors
    /// It does not.
    pub async fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.id()?)?;
        kill_process(Pid::from_raw(id).context("a process has an id")?, Signal::TERM)?;
        let ended = timeout(ENDS_WITHIN, self.child.wait()).await;
        ended.with_context(|| format!("{} does not stop", self.name))??;
        Ok(())
    }
}

/// A binary of the same build.
///
/// # Errors
/// It has not been built.
pub fn beside(binary: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(binary);
    if path.exists() {
        Ok(path)
    } else {
        bail!("{} is missing: `make load` builds it", path.display())
    }
}

/// A loopback address that was free a moment ago.
///
/// # Errors
/// There is none.
pub fn free_address() -> Result<String> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.to_string())
}
