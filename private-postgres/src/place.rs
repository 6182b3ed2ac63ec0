//! Where a cluster lives, and which user owns it.
//!
//! ```text
//! FOLDER/cluster     PostgreSQL's own data directory, owned by the user that the server runs as
//! FOLDER/password    the superuser's password, readable by that user only
//! FOLDER/server.log  what the server has to say
//! FOLDER/lock        locked by the process that uses the cluster
//! ```
//!
//! Started by root, the server runs as somebody who may not be able to reach the folder at all, as anywhere below
//! `/root`. The cluster then lives below `/var/lib/voltgate`, under the path that was asked for.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::account::{Account, is_root};

const FALLBACK: &str = "/var/lib/voltgate";

/// A log that has grown past this is set aside when the server starts; one predecessor is kept.
const LOG_BYTES: u64 = 8 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Place {
    home: PathBuf,
    account: Account,
    moved_from: Option<PathBuf>,
}

impl Place {
    /// Decides where the cluster lives: where it already is, else in the folder, else where its user can reach it.
    pub(crate) fn choose(folder: &Path) -> Result<Place, Error> {
        let folder = create_folder(folder)?;
        if let Some(account) = owner_of_cluster(&folder)? {
            return Place::existing(folder, account, None);
        }
        let account = Account::for_new_cluster()?;
        if account == Account::Own {
            return Ok(Place::new(folder, account, None));
        }
        let fallback = Path::new(FALLBACK).join(folder.strip_prefix("/").unwrap_or(&folder));
        if let Some(account) = owner_of_cluster(&fallback)? {
            return Place::existing(fallback, account, Some(folder));
        }
        if account.can_enter(&folder)? {
            return Ok(Place::new(folder, account, None));
        }
        Place::existing(create_folder(&fallback)?, account, Some(folder))
    }

    fn new(home: PathBuf, account: Account, moved_from: Option<PathBuf>) -> Place {
        Place {
            home,
            account,
            moved_from,
        }
    }

    /// A place that cannot be given up for another one: its user has to be able to reach it.
    fn existing(home: PathBuf, account: Account, moved_from: Option<PathBuf>) -> Result<Place, Error> {
        match account {
            Account::Other { uid, .. } if !account.can_enter(&home)? => Err(Error::Unreachable {
                folder: home,
                owner: uid,
            }),
            _ => Ok(Place::new(home, account, moved_from)),
        }
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    /// The folder that was asked for, if it is not the one in use.
    pub(crate) fn moved_from(&self) -> Option<&Path> {
        self.moved_from.as_deref()
    }

    pub(crate) fn cluster(&self) -> PathBuf {
        self.home.join("cluster")
    }

    pub(crate) fn has_cluster(&self) -> bool {
        self.cluster().exists()
    }

    /// The major version of the PostgreSQL that made the cluster, if there is one.
    pub(crate) fn version(&self) -> Result<Option<String>, Error> {
        if !self.has_cluster() {
            return Ok(None);
        }
        let path = self.cluster().join("PG_VERSION");
        let version = fs::read_to_string(&path).map_err(Error::io("cannot read", &path))?;
        Ok(Some(version.trim().to_owned()))
    }

    /// Claims the cluster for this process until the file is closed or the process ends.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        let path = self.home.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("cannot open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(self.home.clone())),
            Err(TryLockError::Error(source)) => Err(Error::io("cannot lock", &path)(source)),
        }
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.home.join("password")
    }

    pub(crate) fn password(&self) -> Result<String, Error> {
        let path = self.password_file();
        match fs::read_to_string(&path) {
            Ok(password) => Ok(password.trim().to_owned()),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Err(Error::NoPassword(path)),
            Err(source) => Err(Error::io("cannot read", &path)(source)),
        }
    }

    /// Writes a new password for a new cluster, durably: a cluster whose password is lost is lost itself.
    pub(crate) fn write_password(&self, password: &str) -> Result<(), Error> {
        let path = self.password_file();
        let write = || -> std::io::Result<()> {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            writeln!(file, "{password}")?;
            file.sync_all()
        };
        write().map_err(Error::io("cannot write", &path))?;
        self.account.own(&path)
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.home.join("server.log")
    }

    /// Opens the server's log for appending, setting an overgrown one aside.
    pub(crate) fn open_log(&self) -> Result<File, Error> {
        let path = self.log_file();
        if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES) {
            fs::rename(&path, path.with_extension("log.old")).map_err(Error::io("cannot rename", &path))?;
        }
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("cannot open", &path))
    }
}

fn create_folder(folder: &Path) -> Result<PathBuf, Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .and_then(|()| folder.canonicalize())
        .map_err(Error::io("cannot create the folder", folder))
}

/// The user that owns the cluster in a folder, if there is one. PostgreSQL runs as nobody else.
fn owner_of_cluster(home: &Path) -> Result<Option<Account>, Error> {
    let path = home.join("cluster");
    let (uid, gid) = match fs::metadata(&path) {
        Ok(cluster) => (cluster.uid(), cluster.gid()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io("cannot look at", &path)(source)),
    };
    if uid == rustix::process::geteuid().as_raw() && uid != 0 {
        Ok(Some(Account::Own))
    } else if is_root() && uid != 0 {
        Ok(Some(Account::Other { uid, gid }))
    } else {
        Err(Error::NotOwner {
            folder: home.to_owned(),
            owner: uid,
        })
    }
}
