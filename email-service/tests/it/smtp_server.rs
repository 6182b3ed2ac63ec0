//! A real SMTP server, aiosmtpd, in a process of its own.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

pub struct SmtpServer {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Value>>>,
    reading: JoinHandle<()>,
    process: Child,
}

impl SmtpServer {
    /// # Panics
    /// If there is no Python with aiosmtpd: a test never passes for want of one.
    pub async fn start() -> Self {
        Self::start_at(0).await
    }

    /// At a port of 127.0.0.1 where one was before; 0 is any.
    pub async fn start_at(port: u16) -> Self {
        let python = std::env::var("VOLTGATE_PYTHON")
            .expect("VOLTGATE_PYTHON is not set to a Python with aiosmtpd: run the tests with `make test`");
        let mut process = Command::new(&python)
            .args(["-W", "ignore"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/smtp_server.py"))
            .arg(port.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("VOLTGATE_PYTHON is {python}, which does not start: {error}"));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines
            .next_line()
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("the SMTP server did not start; has {python} aiosmtpd?"));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&taken);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())),
            taken,
            reading,
            process,
        }
    }

    /// Ends it as a crash does, and says which mails it has taken.
    pub async fn kill(mut self) -> Vec<Value> {
        self.process.kill().await.unwrap();
        // What it has said is read to its end.
        while !self.reading.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.taken()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        url(self.address)
    }

    /// The mails taken so far.
    pub fn taken(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// The way to the server, with its password, over another address.
pub fn url(address: SocketAddr) -> String {
    format!("smtp://volt:open%20sesame@{address}")
}
