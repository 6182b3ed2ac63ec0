//! Runs the simulator as a process of its own.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use simulator::report::Report;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::process::beside;
use crate::registration::{PASSWORD, PREFIX};
use crate::usage;

/// How long it may take until all are connected, or until the end: more than the longest run with what may come behind it.
const SAYS_WITHIN: Duration = Duration::from_secs(2 * 60 * 60);

/// How long it may take to end after its report.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// A fleet that is under way.
pub struct Simulation {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

/// All charge points are connected.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Ready {
    pub online: u64,
    /// How long it took.
    pub seconds: f64,
    /// Messages so far.
    pub answered: u64,
}

impl Simulation {
    /// # Errors
    /// The simulator has not been built.
    pub fn start(gateway: &str, scenario: &str, options: &[(&str, String)]) -> Result<Self> {
        let mut command = Command::new(beside("simulator")?);
        command
            .args(["fleet", scenario, "--json", "--prefix", PREFIX, "--password", PASSWORD])
            .args(["--url", &format!("ws://{gateway}/ocpp")]);
        for (name, value) in options {
            command.arg(name).arg(value);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = child.stdout.take().context("the output is piped")?;
        Ok(Self {
            child,
            said: BufReader::new(said).lines(),
        })
    }

    /// Waits until it begins.
    ///
    /// # Errors
    /// The simulator has failed.
    pub async fn ready(&mut self) -> Result<Ready> {
        self.next().await
    }

    /// Processor time of the simulator so far.
    ///
    /// # Errors
    /// The simulator has ended, and been waited for.
    pub fn processor_time(&self) -> Result<Duration> {
        usage::processor_time(self.child.id().context("the simulator has ended")?)
    }

    /// Waits for the end. Returns all of the simulator's processor time, too.
    ///
    /// # Errors
    /// The simulator has failed. Charge points that did are in the report.
    pub async fn report(mut self) -> Result<(Report, Duration)> {
        let report = self.next().await?;
        // Until it is waited for /proc has it, even when it has ended.
        let processor_time = self.processor_time()?;
        // It fails where charge points did, which the report tells, too.
        let ended = timeout(ENDS_WITHIN, self.child.wait()).await;
        ended.context("the simulator does not end")??;
        Ok((report, processor_time))
    }

    async fn next<T: DeserializeOwned>(&mut self) -> Result<T> {
        let line = timeout(SAYS_WITHIN, self.said.next_line()).await;
        let line = line.context("the simulator says nothing")??;
        let line = line.context("the simulator has failed")?;
        Ok(serde_json::from_str(&line)?)
    }
}
