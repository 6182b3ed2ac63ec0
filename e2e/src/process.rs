//! One of Voltgate's binaries as a child process.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, Command};

use crate::wait::until;

/// Variables that a process is started with. Nothing else is inherited but where programs are.
pub type Environment = BTreeMap<String, String>;

/// A running binary whose output goes to files.
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts a binary in `folder`, where its output goes too. Its name is the binary's, and a word more where there are
    /// several of one.
    pub fn spawn(name: &str, environment: &Environment, folder: &Path) -> Self {
        let program = path_of(name.split(' ').next().unwrap_or_default());
        Self::spawn_program(name, &program, environment, folder)
    }

    /// Starts a program that may not be one of this build.
    pub fn spawn_program(name: &str, program: &Path, environment: &Environment, folder: &Path) -> Self {
        let (stdout, stderr) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.log")));
        let log = |path: &Path| {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .expect("the log can be written")
        };
        let child = Command::new(program)
            .env_clear()
            .envs(
                ["PATH", "HOME", "LANG"]
                    .into_iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .envs(environment)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log(&stdout))
            .stderr(log(&stderr))
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        }
    }

    /// Waits until the admin port says that the process is ready.
    pub async fn ready(&mut self, admin: &str) {
        let url = format!("http://{admin}/readyz");
        let name = self.name.clone();
        until(&format!("{name} is ready"), async || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{name} ended with {status}:\n{}", self.log());
            }
            reqwest::get(&url)
                .await
                .ok()
                .filter(|answer| answer.status().is_success())
        })
        .await;
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("the process runs")
    }

    /// What it printed.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Sends a signal and waits for the end.
    pub async fn signal(&mut self, signal: &str) -> ExitStatus {
        let kill = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.id().to_string())
            .status()
            .await;
        assert!(
            kill.expect("kill can be run").success(),
            "{} could not be sent {signal}",
            self.name
        );
        self.ended().await
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> ExitStatus {
        let name = self.name.clone();
        until(&format!("{name} has ended"), async || {
            self.child.try_wait().expect("the child can be asked")
        })
        .await
    }

    /// Ends it as the machine's power would.
    pub async fn kill(&mut self) {
        self.signal("KILL").await;
    }

    /// Tells it to stop, and expects it to do so in good order.
    pub async fn stop(&mut self) {
        let status = self.signal("TERM").await;
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.log());
    }
}

/// Binaries lie beside the folder of the test that runs.
pub fn path_of(binary: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let path = test
        .ancestors()
        .nth(2)
        .expect("tests are built into target/<profile>/deps")
        .join(binary);
    assert!(
        path.exists(),
        "{} is missing: `make test` builds the binaries before it runs the tests",
        path.display()
    );
    path
}

/// A loopback address that was free a moment ago.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", testbed::free_port())
}
