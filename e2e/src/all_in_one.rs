//! `voltgate`, everything in one process.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::api::Api;
use crate::process::{Environment, Process, free_address, path_of};

/// What the administrator's password is unless a test has it made up.
pub const ADMIN_PASSWORD: &str = "volts and amperes";

/// A running all-in-one process with a data folder of its own.
pub struct Voltgate {
    program: PathBuf,
    pub process: Process,
    pub environment: Environment,
    folder: TempDir,
}

impl Voltgate {
    pub async fn start() -> Self {
        Self::start_with(&[("ADMIN_PASSWORD", ADMIN_PASSWORD)]).await
    }

    /// Starts it on free ports with these settings besides.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_program(&path_of("voltgate"), settings).await
    }

    /// Starts one that was built elsewhere.
    pub async fn start_program(program: &Path, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("voltgate-")
            .tempdir()
            .expect("there is room for a folder");
        // The database server of a run as root is another user, who has to get through.
        let passable = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(folder.path(), passable).expect("the folder is ours");
        let mut environment = Environment::new();
        environment.insert("DATA_DIR".to_owned(), folder.path().join("data").display().to_string());
        for setting in listening() {
            environment.insert(setting.to_owned(), free_address());
        }
        environment.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let process = Process::spawn_program("voltgate", program, &environment, folder.path());
        let mut voltgate = Self {
            program: program.to_owned(),
            process,
            environment,
            folder,
        };
        voltgate.ready().await;
        voltgate
    }

    async fn ready(&mut self) {
        let admin = self.environment["ADMIN_LISTEN"].clone();
        self.process.ready(&admin).await;
    }

    /// Starts it again, on the same data.
    pub async fn start_again(&mut self) {
        self.process = Process::spawn_program("voltgate", &self.program, &self.environment, self.folder.path());
        self.ready().await;
    }

    pub fn address(&self, setting: &str) -> &str {
        &self.environment[setting]
    }

    pub fn api(&self) -> Api {
        Api::at(self.address("GATEWAY_LISTEN"))
    }

    /// The REST API as the administrator sees it.
    pub async fn admin(&self) -> Api {
        self.api().log_in("admin", ADMIN_PASSWORD).await
    }

    /// Every mail written so far.
    pub fn mails(&self) -> Vec<String> {
        mails_in(&self.folder.path().join("data/mail"))
    }

    /// Whether it keeps a PostgreSQL of its own.
    pub fn has_private_database(&self) -> bool {
        self.folder.path().join("data/postgres").exists()
    }

    /// The process id of the private PostgreSQL.
    pub fn postgres(&self) -> u32 {
        let file = self.folder.path().join("data/postgres/cluster/postmaster.pid");
        let content = std::fs::read_to_string(file).expect("PostgreSQL runs");
        content
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok())
            .expect("the first line is the process id")
    }
}

/// The settings that say where something listens, but for what does not unless it is told to.
fn listening() -> impl Iterator<Item = &'static str> {
    let settings = include_str!("../../.env.template")
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='));
    settings.filter_map(|(name, default)| (name.ends_with("_LISTEN") && default.contains(':')).then_some(name))
}

/// The `.eml` files in a folder.
pub fn mails_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    let mails = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"));
    mails
        .map(|path| std::fs::read_to_string(path).expect("a mail can be read"))
        .collect()
}
