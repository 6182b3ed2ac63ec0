//! A copy of the source tree that steps are applied to, and that is built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::page::{Place, Step};

/// What lies in the folder of the workspace and is not source.
const NOT_SOURCE: [&str; 5] = [".git", ".venv", "data", "node_modules", "target"];

/// Every file by its path.
pub struct Tree(BTreeMap<PathBuf, Vec<u8>>);

impl Tree {
    pub fn of_this_workspace() -> Self {
        let mut tree = Self(BTreeMap::new());
        let root = workspace();
        for entry in std::fs::read_dir(&root).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if !NOT_SOURCE.contains(&name) {
                tree.read(&root, &path);
            }
        }
        // Cargo tells crates apart by name and version, not by where they lie.
        tree.edit("Cargo.toml", |text| {
            text.replacen("version = \"", "version = \"0.0.0-copy+", 1)
        });
        tree
    }

    fn read(&mut self, root: &Path, path: &Path) {
        if path.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                self.read(root, &entry.unwrap().path());
            }
        } else {
            let name = path.strip_prefix(root).unwrap().to_owned();
            self.0.insert(name, std::fs::read(path).unwrap());
        }
    }

    fn edit(&mut self, path: &str, edit: impl FnOnce(String) -> String) {
        let file = self
            .0
            .get_mut(Path::new(path))
            .unwrap_or_else(|| panic!("there is no {path}"));
        *file = edit(String::from_utf8(file.clone()).unwrap()).into_bytes();
    }

    /// Does what the step says.
    pub fn apply(&mut self, step: &Step<'_>) {
        let path = step.path;
        match step.place {
            Place::NewFile => {
                let former = self.0.insert(path.into(), step.block.clone().into_bytes());
                assert!(former.is_none(), "{path} is there already");
            }
            Place::Before(text) => self.edit_line(path, text, |line| format!("{}{line}\n", step.block)),
            Place::After(text) => self.edit_line(path, text, |line| format!("{line}\n{}", step.block)),
            Place::Instead(text) => self.edit_line(path, text, |_| step.block.clone()),
        }
    }

    fn edit_line(&mut self, path: &str, text: &str, edit: impl Fn(&str) -> String) {
        self.edit(path, |content| {
            let found = content
                .lines()
                .filter(|line| line.trim_start().starts_with(text))
                .count();
            assert_eq!(found, 1, "lines of {path} that start with `{text}`");
            let lines = content.lines().map(|line| {
                if line.trim_start().starts_with(text) {
                    edit(line)
                } else {
                    format!("{line}\n")
                }
            });
            lines.collect()
        });
    }

    /// Where the copy lies. It stays there, so that the next run builds only what has changed.
    pub fn folder(&self) -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/documentation/source"))
    }

    /// Builds the binaries, without the network, and returns where they are.
    ///
    /// Intermediate files go where those of this workspace are, so that no dependency is built again. That they fit needs
    /// the same features, and these depend on whether tests are among what is built.
    pub fn build(&self, binaries: &[&str]) -> PathBuf {
        self.write();
        let target = workspace().join("target");
        let mut build = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
        // What cargo has told this test about itself is not for another cargo.
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG") || name.starts_with("CARGO_MANIFEST"))
        {
            build.env_remove(name);
        }
        build
            .args(["build", "--offline", "--workspace", "--test", "documentation"])
            .args(binaries.iter().flat_map(|binary| ["--bin", binary]))
            .env("CARGO_BUILD_BUILD_DIR", &target)
            .env("CARGO_TARGET_DIR", target.join("documentation"))
            .current_dir(self.folder());
        let built = build.output().expect("cargo can be run");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "what the pages say does not build:\n{said}");
        target.join("documentation/debug")
    }

    /// Files that are as they should be stay untouched, or cargo would build them again.
    fn write(&self) {
        let mut there = Self(BTreeMap::new());
        if self.folder().exists() {
            there.read(self.folder(), self.folder());
        }
        for (name, content) in &self.0 {
            if there.0.get(name) != Some(content) {
                let path = self.folder().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
        }
        let wanted: BTreeSet<_> = self.0.keys().collect();
        for name in there.0.keys().filter(|name| !wanted.contains(name)) {
            std::fs::remove_file(self.folder().join(name)).unwrap();
        }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
