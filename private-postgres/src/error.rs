//! What can go wrong, in words that say what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a cluster could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "PostgreSQL is not installed: neither PATH nor /usr/lib/postgresql/*/bin holds `initdb` and `postgres`. \
         Install the package `postgresql` (Debian, Ubuntu: apt-get install postgresql)"
    )]
    NotInstalled,
    #[error(
        "the cluster was made by PostgreSQL {needed}, but only {found} is installed here. \
         Install the package `postgresql-{needed}`, or upgrade the cluster with pg_upgrade"
    )]
    OtherVersion { needed: String, found: String },
    #[error("`setpriv` is not installed: install the package `util-linux`")]
    NoSetpriv,
    #[error("another running process uses the cluster in {}", .0.display())]
    InUse(PathBuf),
    #[error(
        "the cluster in {folder} belongs to the user with id {owner}, and PostgreSQL runs as its owner only: \
         start as that user or as root", folder = folder.display()
    )]
    NotOwner { folder: PathBuf, owner: u32 },
    #[error(
        "the cluster in {folder} belongs to the user with id {owner}, who cannot reach it: \
         let that user enter every folder above it", folder = folder.display()
    )]
    Unreachable { folder: PathBuf, owner: u32 },
    #[error("root must not run PostgreSQL, and this machine has neither a user `postgres` nor `nobody` to run it as")]
    NoUnprivilegedUser,
    #[error("a server left over from a killed process still holds the cluster in {}", .0.display())]
    LeftOver(PathBuf),
    #[error("the password file {} is gone; without it nobody can log in to the cluster beside it", .0.display())]
    NoPassword(PathBuf),
    #[error("initdb could not create a cluster in {folder}: {output}", folder = folder.display())]
    Create { folder: PathBuf, output: String },
    #[error("PostgreSQL ended while starting; the end of {log} says why:\n{tail}", log = log.display())]
    EndedEarly { log: PathBuf, tail: String },
    #[error("PostgreSQL was not ready within {seconds} s; see {log}", log = log.display())]
    NotReady { seconds: u64, log: PathBuf },
    #[error("PostgreSQL (process {0}) did not stop")]
    DidNotStop(i32),
    #[error("{action} {path}: {source}", path = path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl Error {
    /// An I/O error together with what was being done to which file: `Error::io("cannot read", path)`.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error::Io { action, path, source }
    }

    /// Why a program could not be run under `setpriv`.
    pub(crate) fn setpriv(source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::NotFound => Error::NoSetpriv,
            _ => Error::Io {
                action: "cannot run",
                path: "setpriv".into(),
                source,
            },
        }
    }
}
