//! The server process: starting it, waiting until it is ready, stopping it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::account::WhenParentDies;
use crate::installation::Installation;
use crate::place::Place;
use crate::{Durability, Error};

/// Long enough for the recovery after a crash, which reads at most `max_wal_size` (1 GB) of log.
const READY_WITHIN: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(20);

/// Another process may take the port between our finding it free and the server's binding it.
const ATTEMPTS: usize = 3;

/// A running server. Dropping it asks it to stop.
pub(crate) struct Server {
    pid: Pid,
    port: u16,
    ended: watch::Receiver<bool>,
}

impl Server {
    pub(crate) async fn start(
        place: &Place,
        installation: &Installation,
        durability: Durability,
    ) -> Result<Server, Error> {
        let mut attempt = 1;
        loop {
            let port = free_port().map_err(Error::io("cannot find a free port on", "127.0.0.1"))?;
            let command = command(place, installation, durability, port)?;
            let (pid, ended) = keep(command).await?;
            let server = Server { pid, port, ended };
            match server.wait_until_ready(place).await {
                Ok(()) => return Ok(server),
                Err(Error::EndedEarly { .. }) if attempt < ATTEMPTS && is_taken(port) => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns when the server has ended.
    pub(crate) async fn ended(&self) {
        // An error means that the keeper is gone, and it goes only after the server.
        self.ended.clone().wait_for(|ended| *ended).await.ok();
    }

    /// Fast shutdown (roll back, flush, end); if that hangs an immediate one, which leaves recovery to the next start.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        let escalation = [
            (Signal::INT, Duration::from_secs(30)),
            (Signal::QUIT, Duration::from_secs(10)),
            (Signal::KILL, Duration::from_secs(5)),
        ];
        for (signal, patience) in escalation {
            self.signal(signal);
            if timeout(patience, self.ended()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(?signal, "PostgreSQL did not stop in time");
        }
        Err(Error::DidNotStop(self.pid.as_raw_nonzero().get()))
    }

    fn signal(&self, signal: Signal) {
        if !*self.ended.borrow() {
            // It can only fail because the server has just ended, which is what the caller wants.
            kill_process(self.pid, signal).ok();
        }
    }

    async fn wait_until_ready(&self, place: &Place) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if *self.ended.borrow() {
                return Err(Error::EndedEarly {
                    log: place.log_file(),
                    tail: end_of(&place.log_file()),
                });
            }
            if says_ready(&place.cluster(), self.pid) {
                return Ok(());
            }
            sleep(POLL).await;
        }
        Err(Error::NotReady {
            seconds: READY_WITHIN.as_secs(),
            log: place.log_file(),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

fn command(place: &Place, installation: &Installation, durability: Durability, port: u16) -> Result<Command, Error> {
    let program = installation.program("postgres");
    let mut command = place.account().command(&program, WhenParentDies::StopFast);
    command.arg("-D").arg(place.cluster());
    let mut set = |setting: &str| {
        command.args(["-c", setting]);
    };
    set("listen_addresses=127.0.0.1");
    set(&format!("port={port}"));
    // A socket's path may have 107 bytes, which the folder alone can exceed.
    set("unix_socket_directories=");
    set("max_connections=200");
    set("timezone=UTC");
    set("log_timezone=UTC");
    set("log_checkpoints=off");
    // A failed statement is its client's to report, and its values (`Key (email)=(…) already exists`) stay out of
    // the log.
    set("log_min_messages=log");
    set("log_line_prefix=%m [%p] ");
    // Queries here are short; compiling them costs more than it saves.
    set("jit=off");
    if durability == Durability::ForTests {
        set("fsync=off");
        set("synchronous_commit=off");
        set("full_page_writes=off");
    }
    let log: File = place.open_log()?;
    command
        .stdout(Stdio::null())
        .stderr(log)
        // A Ctrl-C in the terminal is for us: we stop the server when its clients have finished.
        .process_group(0);
    Ok(command)
}

/// Starts the command on a thread of its own that lives as long as it does. The kernel's notice that a parent died is
/// tied to the thread that forked, so no thread of the async runtime will do.
async fn keep(mut command: Command) -> Result<(Pid, watch::Receiver<bool>), Error> {
    let (started, start) = oneshot::channel();
    let (end, ended) = watch::channel(false);
    std::thread::Builder::new()
        .name("postgres-keeper".to_owned())
        .spawn(move || match command.spawn() {
            Ok(mut child) => {
                if started.send(Ok(child.id())).is_err() {
                    // Nobody waits for the start any more, so nobody would ever stop the server.
                    child.kill().ok();
                }
                match child.wait() {
                    Ok(status) => tracing::info!(%status, "PostgreSQL ended"),
                    Err(error) => tracing::error!(%error, "Cannot wait for PostgreSQL"),
                }
                end.send_replace(true);
            }
            Err(error) => {
                started.send(Err(error)).ok();
            }
        })
        .map_err(Error::io("cannot start a thread for", "postgres"))?;
    let id = start
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the thread ended")))
        .map_err(Error::setpriv)?;
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Error::setpriv(io::Error::other("not a process id")))?;
    Ok((pid, ended))
}

/// The postmaster notes its process id in the first line of this file, and how far it is in the eighth.
fn says_ready(cluster: &Path, pid: Pid) -> bool {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
    let mut lines = text.lines().map(str::trim);
    let own = lines.next() == Some(pid.as_raw_nonzero().to_string().as_str());
    own && lines.nth(6) == Some("ready")
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
