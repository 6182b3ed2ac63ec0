//! A RabbitMQ node of one's own, and the `epmd` that Erlang needs beside it.
//!
//! Left to itself Erlang starts `epmd` as a daemon that outlives everything. We start it ourselves, in the foreground
//! and on a port of its own, so that it is a child like any other. The kernel kills both when this process dies, or the thread
//! of it that started them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::program::find;
use crate::{free_port, management};

const READY_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// A running node with the management plug-in.
pub struct RabbitMq {
    node: Child,
    epmd: Child,
    place: Place,
}

/// Where a node lives. It comes back to the same ports and the same data.
struct Place {
    folder: PathBuf,
    port: u16,
    management_port: u16,
    epmd_port: u16,
    distribution_port: u16,
}

impl RabbitMq {
    /// Starts a node that keeps everything it writes in the folder, and waits until it accepts connections.
    ///
    /// The kernel kills the node when the thread ends that starts it (`setpriv --pdeathsig`), and not only when the process does. So call it
    /// from the test's own body, and not from a task that is spawned: the runtime may run that on another thread.
    ///
    /// # Errors
    /// A program is missing, or the node does not get ready.
    pub async fn start(folder: &Path) -> Result<RabbitMq> {
        let place = Place {
            folder: folder.to_owned(),
            port: free_port(),
            management_port: free_port(),
            epmd_port: free_port(),
            distribution_port: free_port(),
        };
        fs::create_dir_all(folder)?;
        fs::write(
            folder.join("rabbitmq.conf"),
            configuration(place.port, place.management_port),
        )?;
        fs::write(folder.join("enabled_plugins"), "[rabbitmq_management].\n")?;
        let epmd = child(find("epmd", &[])?, folder)?
            .args(["-address", "127.0.0.1", "-port"])
            .arg(place.epmd_port.to_string())
            .spawn()
            .context("cannot start epmd")?;
        let node = place.start_node()?;
        let mut rabbitmq = RabbitMq { node, epmd, place };
        rabbitmq.wait_until_ready().await?;
        Ok(rabbitmq)
    }

    /// Kills the node with -9, starts it again, and waits until it accepts connections. What it has written is still with the operating
    /// system, so this shows nothing of what the machine's power would do.
    ///
    /// The new node dies with the thread that starts it, as with [`start`](Self::start).
    ///
    /// # Errors
    /// It does not get ready again.
    pub async fn crash_and_restart(&mut self) -> Result<()> {
        self.node.kill().await.context("cannot end the RabbitMQ node")?;
        self.node = self.place.start_node()?;
        self.wait_until_ready().await
    }

    /// Where to connect; a virtual host goes behind a slash.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.place.port))
    }

    /// Where the management API listens.
    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.place.management_port)
    }

    /// Ends both at once: nothing in the folder is worth an orderly goodbye.
    ///
    /// # Errors
    /// One of them cannot be ended.
    pub async fn stop(mut self) -> Result<()> {
        self.node.kill().await.context("cannot end the RabbitMQ node")?;
        self.epmd.kill().await.context("cannot end epmd")
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.node.try_wait()? {
                bail!("RabbitMQ ended while starting ({status}): {}", self.place.output());
            }
            if self.is_ready().await {
                return Ok(());
            }
            sleep(POLL).await;
        }
        bail!(
            "RabbitMQ was not ready within {} s: {}",
            READY_WITHIN.as_secs(),
            self.place.output()
        );
    }

    async fn is_ready(&self) -> bool {
        let api = self.api_url();
        let path = format!("/api/health/checks/port-listener/{}", self.place.port);
        let answer = tokio::task::spawn_blocking(move || management::request("GET", &api, &path, "")).await;
        matches!(answer, Ok(Ok(200)))
    }
}

impl Place {
    fn start_node(&self) -> Result<Child> {
        let folder = &self.folder;
        // Debian's `rabbitmq-server` in PATH insists on a user of its own; the script it wraps does not.
        let script = find("rabbitmq-server", &["/usr/lib/rabbitmq/bin"])?;
        child(script, folder)?
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("testbed{}@localhost", std::process::id()))
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", folder.join("no-environment-file"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            // Makes the script become the node instead of its parent, so that our child is the node itself …
            .env("RABBITMQ_ALLOW_INPUT", "1")
            // … which then has to be told that there is no terminal.
            .env("RABBITMQ_SERVER_START_ARGS", "-noinput")
            // Loopback only, and no spinning while idle: the tests want the processor.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
            )
            .spawn()
            .context("cannot start rabbitmq-server")
    }

    /// The end of what the node said, for an error.
    fn output(&self) -> String {
        let said = fs::read(self.folder.join("output")).unwrap_or_default();
        let text = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn configuration(port: u16, management_port: u16) -> String {
    format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management_port}\n\
         disk_free_limit.absolute = 50MB\n\
         raft.wal_max_size_bytes = 33554432\n"
    )
}

/// A command whose process dies with us, sees nothing of our environment and writes into the folder only.
fn child(program: PathBuf, folder: &Path) -> Result<Command> {
    let output = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("output"))?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        // Erlang keeps its cookie here.
        .env("HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // A Ctrl-C in the terminal is for us and for the tests.
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}
