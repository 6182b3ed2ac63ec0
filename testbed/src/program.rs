//! Finding the programs that a machine for tests has.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The first program of this name in the folders given, else in `PATH`.
pub(crate) fn find(name: &str, folders: &[&str]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = folders
        .iter()
        .map(PathBuf::from)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    found.with_context(|| format!("`{name}` is not installed: run `scripts/setup test`"))
}
