//! Running the command, and ending whatever it leaves behind.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::timeout;

use crate::StopSignals;

/// How long the command may take to stop when asked to.
const GRACE: Duration = Duration::from_secs(15);

/// What the command line asks for.
#[derive(Debug)]
pub struct Arguments {
    pub postgres_only: bool,
    program: OsString,
    arguments: Vec<OsString>,
}

impl Arguments {
    /// Everything from the first word that is not an option of ours belongs to the command.
    pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Arguments> {
        let mut words = words.peekable();
        let postgres_only = words.next_if(|word| word == "--postgres-only").is_some();
        words.next_if(|word| word == "--");
        let Some(program) = words.next() else {
            bail!("usage: testbed [--postgres-only] [--] COMMAND [ARGUMENT…]");
        };
        Ok(Arguments {
            postgres_only,
            program,
            arguments: words.collect(),
        })
    }
}

/// Runs the command in a process group of its own and returns its exit code, or 128 and the signal that ended it, as a
/// shell does. Processes that it started and forgot are killed: they would only wait for servers that are gone.
pub async fn run(arguments: &Arguments, variables: Vec<(&'static str, String)>, stop: &mut StopSignals) -> Result<u8> {
    let program = arguments.program.to_string_lossy();
    let mut child = Command::new(&arguments.program)
        .args(&arguments.arguments)
        .envs(variables)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start `{program}`"))?;
    let group = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
        .context("the command has no process id")?;
    let signal_group = |signal: Signal| {
        // Failing means that nobody is left in it.
        kill_process_group(group, signal).ok();
    };
    let status = tokio::select! {
        status = child.wait() => status?,
        () = stop.received() => {
            signal_group(Signal::TERM);
            match timeout(GRACE, child.wait()).await {
                Ok(status) => status?,
                Err(_) => {
                    signal_group(Signal::KILL);
                    child.wait().await?
                }
            }
        }
    };
    signal_group(Signal::KILL);
    Ok(code(status))
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments> {
        Arguments::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn the_options_of_the_command_are_its_own() {
        let parsed = parse(&["--postgres-only", "--", "cargo", "test", "--workspace"]).expect("it is complete");
        assert!(parsed.postgres_only);
        assert_eq!(parsed.program, "cargo");
        assert_eq!(parsed.arguments, ["test", "--workspace"]);
    }

    #[test]
    fn a_command_is_required() {
        assert!(parse(&["--postgres-only"]).is_err());
        assert!(parse(&["--"]).is_err());
    }

    #[test]
    fn a_signal_becomes_128_and_its_number() {
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
    }
}
