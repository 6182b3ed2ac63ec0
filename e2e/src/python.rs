//! Programs that nobody here wrote, driven by short Python scripts in `e2e/python`.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::wait::LONGEST;

/// A running script. It prints one JSON document a line, and goes on when it is told to.
pub struct Script {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Script {
    /// # Panics
    /// `VOLTGATE_PYTHON` does not name an interpreter.
    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let mut child = python()
            .arg(folder().join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("VOLTGATE_PYTHON names a Python interpreter");
        let input = child.stdin.take().expect("the input is piped");
        let lines = BufReader::new(child.stdout.take().expect("the output is piped")).lines();
        Self { child, input, lines }
    }

    /// The next document it prints.
    pub async fn next(&mut self) -> Value {
        let line = timeout(LONGEST, self.lines.next_line())
            .await
            .expect("the script goes on");
        let line = line
            .expect("its output can be read")
            .expect("the script has more to say");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// Tells it to go on.
    pub async fn go_on(&mut self) {
        self.tell("").await;
    }

    /// Gives it a line to read.
    pub async fn tell(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.input.write_all(line.as_bytes()).await.expect("the script listens");
    }

    /// Waits for its end, which must be a good one.
    pub async fn finish(mut self) {
        drop(self.input);
        let status = timeout(LONGEST, self.child.wait())
            .await
            .expect("the script ends")
            .expect("it can be asked");
        assert!(status.success(), "the script ended with {status}");
    }
}

/// Runs a program of the virtual environment to its end. Returns how it ended and all that it said.
///
/// # Panics
/// As [`Script::start`], or it does not end in time.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)], patience: Duration) -> (ExitStatus, String) {
    let program = python()
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(patience, program)
        .await
        .expect("the program ends in time")
        .expect("VOLTGATE_PYTHON names a Python interpreter");
    let said = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&said).into_owned())
}

fn python() -> Command {
    Command::new(interpreter())
}

/// One that has the packages of `make test`.
///
/// # Panics
/// `VOLTGATE_PYTHON` names none.
pub fn interpreter() -> String {
    std::env::var("VOLTGATE_PYTHON")
        .expect("VOLTGATE_PYTHON is not set: run the tests with `make test`, which makes a virtual environment")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}
