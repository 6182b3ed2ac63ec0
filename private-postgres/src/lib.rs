//! A PostgreSQL server of one's own, in a folder, from the binaries that the machine already has.
//!
//! [`Cluster::start`] finds an installed PostgreSQL, creates a cluster in the folder if there is none, starts the
//! server on a free loopback port and waits until it accepts connections; [`Cluster::stop`] ends it again. The server
//! never outlives the process that started it, not even after `kill -9`, and what was committed survives both.
//!
//! It runs on Linux only (it needs `/proc` and util-linux's `setpriv`). It downloads nothing, installs nothing, never
//! listens beyond loopback, and never touches a cluster that another live process uses. Databases, roles and schemas
//! inside the cluster are the caller's business.

mod account;
mod create;
mod error;
mod installation;
mod leftover;
mod place;
mod server;

pub use error::Error;

use std::fs::File;
use std::path::{Path, PathBuf};

use installation::Installation;
use place::Place;
use server::Server;

/// The name of the superuser that [`Cluster::url`] logs in as.
pub const SUPERUSER: &str = "postgres";

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that holds the cluster, its password and its log. It is created if it does not exist.
    pub folder: PathBuf,
    /// How much a crash of the machine may cost.
    pub durability: Durability,
}

/// How much a crash of the machine may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed is lost: PostgreSQL's own defaults.
    Full,
    /// A power cut may destroy the cluster. For tests, which throw it away anyway.
    ForTests,
}

/// A running PostgreSQL server that this process owns.
///
/// Dropping it asks the server to stop but does not wait; call [`Cluster::stop`] to know that it has.
pub struct Cluster {
    server: Server,
    place: Place,
    password: String,
    /// Held as long as the cluster is ours; the kernel releases it when the process dies, however it dies.
    _lock: File,
}

impl Cluster {
    /// Starts the server, creating the cluster first if the folder has none.
    ///
    /// A server that a killed process left behind in the same folder is stopped first. One that belongs to a live
    /// process is left alone, and the answer is [`Error::InUse`].
    pub async fn start(options: Options) -> Result<Cluster, Error> {
        let place = Place::choose(&options.folder)?;
        if let Some(wanted) = place.moved_from() {
            tracing::warn!(
                folder = %wanted.display(),
                instead = %place.home().display(),
                "The database lives elsewhere: the unprivileged user it runs as cannot reach the folder asked for"
            );
        }
        let lock = place.lock()?;
        leftover::stop(&place.cluster()).await?;
        let installation = Installation::find(place.version()?.as_deref())?;
        if !place.has_cluster() {
            create::create(&place, &installation, options.durability).await?;
        }
        let password = place.password()?;
        let server = Server::start(&place, &installation, options.durability).await?;
        tracing::info!(
            port = server.port(),
            folder = %place.home().display(),
            version = installation.version(),
            "PostgreSQL accepts connections"
        );
        Ok(Cluster {
            server,
            place,
            password,
            _lock: lock,
        })
    }

    /// Where to connect as the superuser. The URL holds the password: never log it.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}",
            password = self.password,
            port = self.port()
        )
    }

    /// The loopback port that the server listens on; another one at each start.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The folder that really holds the cluster, its password and its log.
    pub fn folder(&self) -> &Path {
        self.place.home()
    }

    /// The folder that was asked for, if the cluster had to live elsewhere because the unprivileged user that the
    /// server runs as cannot reach it.
    pub fn moved_from(&self) -> Option<&Path> {
        self.place.moved_from()
    }

    /// Returns when the server has ended, whoever ended it. A caller that needs the database can stop with it.
    pub async fn ended(&self) {
        self.server.ended().await;
    }

    /// Stops the server: open transactions are rolled back, everything committed is flushed. Takes at most about 45 s.
    pub async fn stop(self) -> Result<(), Error> {
        self.server.stop().await
    }
}
