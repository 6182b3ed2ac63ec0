//! The operating system's user that the server runs as.
//!
//! PostgreSQL refuses to run as root, so root hands it to an unprivileged user. Everybody else runs it as themselves.
//! Either way it goes through `setpriv`, which also has the kernel tell the child when its parent dies; the same in
//! process would need unsafe code between fork and exec.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;

/// Who runs `initdb` and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// Whoever we are ourselves.
    Own,
    /// Root hands the work to this user.
    Other { uid: u32, gid: u32 },
}

/// The signal that the kernel sends to the child when the thread that started it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WhenParentDies {
    /// SIGINT: the server's fast shutdown.
    StopFast,
    /// SIGKILL: for programs whose half-done work is thrown away.
    Kill,
}

impl Account {
    /// The user for a new cluster: ourselves, or for root `postgres` if the machine has it, else `nobody`.
    pub(crate) fn for_new_cluster() -> Result<Account, Error> {
        if !is_root() {
            return Ok(Account::Own);
        }
        let passwd = fs::read_to_string("/etc/passwd").map_err(Error::io("cannot read", "/etc/passwd"))?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| find_user(&passwd, name))
            .ok_or(Error::NoUnprivilegedUser)
    }

    /// A command that runs `program` as this user, with no trace of our own environment: a stray `PGPORT` or `PGDATA`
    /// must not decide anything.
    pub(crate) fn command(self, program: &Path, when_parent_dies: WhenParentDies) -> Command {
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig").arg(match when_parent_dies {
            WhenParentDies::StopFast => "INT",
            WhenParentDies::Kill => "KILL",
        });
        if let Account::Other { uid, gid } = self {
            command
                .arg(format!("--reuid={uid}"))
                .arg(format!("--regid={gid}"))
                .arg("--clear-groups");
        }
        command
            .arg("--")
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// Whether this user may enter the folder. Asked of the kernel by trying, so that access lists count as well.
    pub(crate) fn can_enter(self, folder: &Path) -> Result<bool, Error> {
        let status = self
            .command(Path::new("test"), WhenParentDies::Kill)
            .arg("-x")
            .arg(folder)
            .status()
            .map_err(Error::setpriv)?;
        Ok(status.success())
    }

    /// Gives a file or folder to this user.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .map_err(Error::io("cannot change the owner of", path)),
        }
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Finds a user in the text of `/etc/passwd`, whose lines read `name:password:uid:gid:…`. Root's ids do not count.
fn find_user(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then_some(Account::Other { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                          nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n\
                          broken:x\n";

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let nobody = Account::Other { uid: 65534, gid: 65533 };
        assert_eq!(find_user(PASSWD, "nobody"), Some(nobody));
        assert_eq!(find_user(PASSWD, "no"), None);
    }

    #[test]
    fn neither_root_nor_a_broken_line_is_an_unprivileged_user() {
        assert_eq!(find_user(PASSWD, "root"), None);
        assert_eq!(find_user(PASSWD, "broken"), None);
    }
}
