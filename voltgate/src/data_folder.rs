//! The folder that holds everything a private Voltgate has to remember.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// `DATA_DIR`, made where it is absent.
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// # Errors
    /// The folder cannot be made.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = || format!("DATA_DIR: cannot make {}", path.display());
        // Others may pass through: the database server runs as another user, in a folder of its own below this one.
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(path)
            .with_context(name)?;
        Ok(Self(path.canonicalize().with_context(name)?))
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The content of a file that only this user can read, made by `generate` where it is absent. A crash leaves all of
    /// it or nothing.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn secret_file(&self, name: &str, generate: impl FnOnce() -> String) -> anyhow::Result<String> {
        let path = self.join(name);
        let describe = || format!("DATA_DIR: cannot keep {}", path.display());
        match fs::read_to_string(&path) {
            Ok(content) => return Ok(content.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(describe),
        }
        let content = generate();
        let unfinished = self.join(&format!("{name}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)
            .with_context(describe)?;
        writeln!(file, "{content}").with_context(describe)?;
        file.sync_all().with_context(describe)?;
        fs::rename(&unfinished, &path).with_context(describe)?;
        fs::File::open(&self.0)
            .and_then(|folder| folder.sync_all())
            .with_context(describe)?;
        Ok(content)
    }
}
