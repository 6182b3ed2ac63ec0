//! A Redis of one's own, that writes nothing to disk. The kernel kills it when this process dies, or the thread of it that started it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::certificates::Paths;
use crate::free_port;
use crate::program::find;

const READY_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// A running server.
pub struct Redis {
    server: Child,
    address: SocketAddr,
}

impl Redis {
    /// Starts a server on loopback, and waits until it answers.
    ///
    /// The kernel kills it when the thread ends that starts it (`setpriv --pdeathsig`), and not only when the process does. So call it from
    /// the test's own body, and not from a task that is spawned: the runtime may run that on another thread.
    ///
    /// # Errors
    /// It is not installed, or does not get ready.
    pub async fn start(folder: &Path) -> Result<Redis> {
        Self::start_with(folder, &[]).await
    }

    /// The same, which also speaks TLS at a port of its own, and tells that port.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn start_with_tls(folder: &Path, own: &Paths) -> Result<(Redis, u16)> {
        let port = free_port();
        let tls = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", own.certificate.display().to_string()),
            ("--tls-key-file", own.key.display().to_string()),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        Ok((Self::start_with(folder, &tls).await?, port))
    }

    async fn start_with(folder: &Path, settings: &[(&str, String)]) -> Result<Redis> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        fs::create_dir_all(folder)?;
        let output = fs::File::create(folder.join("output"))?;
        let server = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(find("redis-server", &[])?)
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args([
                "--save",
                "",
                "--appendonly",
                "no",
                "--daemonize",
                "no",
                "--maxmemory",
                "64mb",
            ])
            .args(settings.iter().flat_map(|(name, value)| [*name, value.as_str()]))
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A Ctrl-C in the terminal is for us and for the tests.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start redis-server")?;
        let mut redis = Redis { server, address };
        redis.wait_until_ready(folder).await?;
        Ok(redis)
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Ends it at once: nothing in it is worth an orderly goodbye.
    ///
    /// # Errors
    /// It cannot be ended.
    pub async fn stop(mut self) -> Result<()> {
        self.server.kill().await.context("cannot end Redis")
    }

    async fn wait_until_ready(&mut self, folder: &Path) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let said = || fs::read_to_string(folder.join("output")).unwrap_or_default();
        while Instant::now() < deadline {
            if let Some(status) = self.server.try_wait()? {
                bail!("Redis ended while starting ({status}): {}", said());
            }
            if matches!(timeout(POLL, ping(self.address)).await, Ok(Ok(()))) {
                return Ok(());
            }
            sleep(POLL).await;
        }
        bail!("Redis was not ready within {} s: {}", READY_WITHIN.as_secs(), said());
    }
}

async fn ping(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    if answer != *b"+PONG\r\n" {
        bail!("this is no Redis");
    }
    Ok(())
}
