//! A proxy's process: what it has used so far, read from /proc.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long a proxy may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that ends with this value.
#[derive(Debug)]
pub struct Process(Child);

/// Memory, in KiB.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Its own, and its share of what others use too (`Pss`).
    pub now: u64,
    /// What it had in memory at the most (`VmHWM`).
    pub peak: u64,
}

impl Process {
    /// Starts it, and waits until it listens. What it says goes to a file beside its configuration.
    ///
    /// # Errors
    /// It cannot be started, ends at once or does not listen.
    pub async fn start(mut command: Command, name: &str, listens: SocketAddr, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let said = File::create(&log)?;
        let program = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut process = Self(child);
        let up = timeout(PATIENCE, process.listening(listens)).await;
        if !matches!(up, Ok(Ok(()))) {
            let said = fs::read_to_string(&log).unwrap_or_default();
            bail!("{name} does not listen at {listens}. It said:\n{said}");
        }
        Ok(process)
    }

    async fn listening(&mut self, address: SocketAddr) -> Result<()> {
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = self.0.try_wait()? {
                bail!("it ended: {status}");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// How long all its threads have run, to the nanosecond.
    ///
    /// # Errors
    /// It has ended, or the kernel does not tell.
    pub fn processor_time(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(self.proc("task")).context("the process has ended")? {
            match fs::read_to_string(thread?.path().join("schedstat")) {
                Ok(text) => nanoseconds += first_number(&text).context("/proc has a schedstat that cannot be read")?,
                // A thread that ended in between.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// What it has used since it had used `before`.
    ///
    /// # Errors
    /// As above, or the kernel does not count.
    pub fn processor_time_since(&self, before: Duration) -> Result<Duration> {
        spent(before, self.processor_time()?)
    }

    /// # Errors
    /// It has ended, or the kernel does not tell.
    pub fn memory(&self) -> Result<Memory> {
        let read = |file: &str, name: &str| {
            let text = fs::read_to_string(self.proc(file))?;
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(first_number)
                .with_context(|| format!("/proc does not tell {name}"))
        };
        Ok(Memory {
            now: read("smaps_rollup", "Pss:")?,
            peak: read("status", "VmHWM:")?,
        })
    }

    fn proc(&self, file: &str) -> std::path::PathBuf {
        Path::new("/proc").join(self.0.id().to_string()).join(file)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spent(before: Duration, after: Duration) -> Result<Duration> {
    // What a thread has used is gone with it.
    let spent = after
        .checked_sub(before)
        .context("threads of the proxy ended while it was measured")?;
    // Kernels without CONFIG_SCHED_INFO have the file, and only zeros in it.
    ensure!(
        !spent.is_zero(),
        "the kernel does not count processor time: /proc/<pid>/schedstat stands still"
    );
    Ok(spent)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn time_that_goes_back_or_stands_still_is_no_measurement() {
        let second = Duration::from_secs(1);
        assert_eq!(spent(second, second * 3).unwrap(), second * 2);
        assert!(spent(second, second).is_err());
        assert!(spent(second * 2, second).is_err());
    }
}
