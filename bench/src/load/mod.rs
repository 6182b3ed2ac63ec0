//! The load: requests over a fixed number of connections, and how long each answer took.
//!
//! Closed loop has every connection ask again as soon as it is answered, which shows how much a proxy can do. Open loop has
//! requests arrive by the clock, however long the answers before them take, which shows what a client waits.

mod closed;
mod connection;
mod open;
mod ticks;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use http::HeaderValue;

pub use closed::closed;
pub use connection::{Connection, Protocol, Requests};
pub use open::open;

use crate::route::Route;

/// The longest time that is told apart, in nanoseconds, and to how many digits.
const LONGEST: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

/// Requests on each connection before anything counts.
const WARM_UP: usize = 20;

/// What is asked of whom.
pub struct Target<'r> {
    pub protocol: Protocol,
    pub address: SocketAddr,
    pub route: &'r Route,
    pub tokens: &'r [HeaderValue],
    pub connections: u16,
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// In nanoseconds.
    pub latencies: Histogram<u64>,
    pub failed: u64,
    pub elapsed: Duration,
}

impl Outcome {
    fn new() -> Result<Self> {
        Ok(Self {
            latencies: Histogram::new_with_bounds(1, LONGEST, DIGITS)?,
            failed: 0,
            elapsed: Duration::ZERO,
        })
    }

    fn record(&mut self, answer: &Result<bytes::Bytes>, latency: Duration) {
        match answer {
            Ok(_) => self
                .latencies
                .saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST)),
            Err(_) => self.failed += 1,
        }
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.latencies.add(&other.latencies)?;
        self.failed += other.failed;
        Ok(())
    }

    pub fn answered(&self) -> u64 {
        self.latencies.len()
    }
}

impl Target<'_> {
    /// Connections that have been used.
    ///
    /// # Errors
    /// The other side is not there, or does not answer.
    pub async fn connect(&self) -> Result<Vec<(Connection, Requests)>> {
        let mut warm = Vec::new();
        for _ in 0..self.connections {
            let mut requests = Requests::new(self.protocol, self.address, self.route, self.tokens)?;
            let mut connection = Connection::open(self.protocol, self.address).await?;
            for _ in 0..WARM_UP {
                connection.ask(requests.next()).await?;
            }
            warm.push((connection, requests));
        }
        Ok(warm)
    }
}
