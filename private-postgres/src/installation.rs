//! Finding the PostgreSQL binaries that the machine has.
//!
//! Debian keeps each major version in a folder of its own that is not in `PATH`; others put them there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// Folders that hold one folder a major version, each with a `bin` below it.
const BY_VERSION: [&str; 2] = ["/usr/lib/postgresql", "/usr/local/lib/postgresql"];

/// One installed PostgreSQL server.
#[derive(Debug)]
pub(crate) struct Installation {
    bin: PathBuf,
    version: String,
}

impl Installation {
    /// The installation that fits an existing cluster's major version, or the first one found for a new cluster.
    pub(crate) fn find(needed: Option<&str>) -> Result<Installation, Error> {
        choose(candidates().filter_map(Installation::in_folder), needed)
    }

    fn in_folder(bin: PathBuf) -> Option<Installation> {
        let postgres = bin.join("postgres");
        if !postgres.is_file() || !bin.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(&postgres).arg("--version").output().ok()?;
        let version = major_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Installation { bin, version })
    }

    /// The path of one of its programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// The major version, such as `15`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// From version 17 PostgreSQL sorts and folds UTF-8 by itself, independently of the machine's C library.
    pub(crate) fn has_builtin_locale(&self) -> bool {
        self.version.parse().is_ok_and(|version: u32| version >= 17)
    }
}

fn choose(mut installed: impl Iterator<Item = Installation>, needed: Option<&str>) -> Result<Installation, Error> {
    let Some(needed) = needed else {
        return installed.next().ok_or(Error::NotInstalled);
    };
    let mut others = Vec::new();
    for installation in installed {
        if installation.version == needed {
            return Ok(installation);
        }
        others.push(installation.version);
    }
    if others.is_empty() {
        return Err(Error::NotInstalled);
    }
    Err(Error::OtherVersion {
        needed: needed.to_owned(),
        found: others.join(" and "),
    })
}

/// Every folder that might hold the binaries: `PATH` in its order, then the versioned folders, newest first.
fn candidates() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path: Vec<PathBuf> = env::split_paths(&path).filter(|p| p.is_absolute()).collect();
    in_path
        .into_iter()
        .chain(BY_VERSION.iter().flat_map(|root| newest_first(Path::new(root))))
}

fn newest_first(root: &Path) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, bin)| bin).collect()
}

/// Reads `15` out of `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, `18` out of `… 18beta1`.
fn major_version(text: &str) -> Option<String> {
    let number = text.split("(PostgreSQL) ").nth(1)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(versions: &[&str]) -> impl Iterator<Item = Installation> {
        let all: Vec<Installation> = versions
            .iter()
            .map(|version| Installation {
                bin: PathBuf::from("/nowhere"),
                version: (*version).to_owned(),
            })
            .collect();
        all.into_iter()
    }

    #[test]
    fn the_major_version_is_read_from_what_the_server_says_of_itself() {
        let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(major_version(debian).as_deref(), Some("15"));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1").as_deref(), Some("18"));
        assert_eq!(major_version("something else"), None);
    }

    #[test]
    fn a_new_cluster_takes_the_first_installation_and_an_old_one_its_own() {
        let first = choose(installed(&["17", "15"]), None).expect("there is one");
        assert_eq!(first.version(), "17");
        let own = choose(installed(&["17", "15"]), Some("15")).expect("there is one");
        assert_eq!(own.version(), "15");
    }

    #[test]
    fn a_missing_version_is_told_apart_from_no_postgresql_at_all() {
        let other = choose(installed(&["17", "16"]), Some("15"));
        assert!(matches!(other, Err(Error::OtherVersion { needed, found }) if needed == "15" && found == "17 and 16"));
        assert!(matches!(choose(installed(&[]), None), Err(Error::NotInstalled)));
        assert!(matches!(choose(installed(&[]), Some("15")), Err(Error::NotInstalled)));
    }

    #[test]
    fn the_error_for_a_missing_postgresql_names_the_package() {
        assert!(Error::NotInstalled.to_string().contains("apt-get install postgresql"));
    }
}
