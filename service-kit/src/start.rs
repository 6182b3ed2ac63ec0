//! Why a process did not start.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// A failure before anything was served. Its text names the setting to change.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{name}: {problem}")]
    Setting { name: &'static str, problem: String },
    #[error("{setting}: cannot listen on {address}: {cause}")]
    Listen {
        setting: &'static str,
        address: SocketAddr,
        cause: io::Error,
    },
    #[error("{setting}: cannot reach the database")]
    Database { setting: &'static str, source: sqlx::Error },
    #[error("cannot bring schema `{schema}` up to date")]
    Migration {
        schema: &'static str,
        source: sqlx::migrate::MigrateError,
    },
    #[error("{what}")]
    Other {
        what: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StartError {
    /// A setting that cannot be used as it stands.
    pub fn setting(name: &'static str, problem: impl Into<String>) -> Self {
        Self::Setting {
            name,
            problem: problem.into(),
        }
    }

    /// Anything else, said in a few words.
    pub fn other(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other {
            what,
            source: source.into(),
        }
    }
}

/// Connections that may wait to be accepted, where the system lets so many (`net.core.somaxconn`). After a power cut all charge points
/// come at once, and one that finds no room tries again after one second, then three, then seven.
const BACKLOG: u32 = 16_384;

/// Binds a TCP port, and names the setting it came from when that fails.
pub async fn listen(address: SocketAddr, setting: &'static str) -> Result<TcpListener, StartError> {
    bind(address).map_err(|cause| StartError::Listen {
        setting,
        address,
        cause,
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // As every server does: connections of one before may still be ending.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
