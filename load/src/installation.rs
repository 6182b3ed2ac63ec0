//! A fresh Voltgate, in one process or in several.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::database::Database;
use crate::process::{Environment, Process, client, free_address};
use crate::settings::{Settings, Setup};
use crate::usage;

/// The administrator's password.
pub const ADMIN_PASSWORD: &str = "volts and amperes";

const REACHED_WITHIN: Duration = Duration::from_secs(60);

/// The services with the settings of their ports, the gateway last.
const SERVICES: [(&str, &str); 4] = [
    ("auth-service", "AUTH_LISTEN"),
    ("charger-service", "CHARGER_LISTEN"),
    ("email-service", "EMAIL_LISTEN"),
    ("gateway", "GATEWAY_LISTEN"),
];

/// Running processes, and what they stand on.
pub struct Installation {
    pub setup: Setup,
    pub database: Database,
    /// Host and port of the gateway.
    pub gateway: String,
    processes: Vec<Process>,
    _folder: TempDir,
}

/// What has been used until now.
#[derive(Clone, Debug)]
pub struct Usage {
    at: Instant,
    processor: BTreeMap<&'static str, Duration>,
    commits: i64,
}

/// What was used between two moments.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Used {
    pub seconds: f64,
    /// By process; all of PostgreSQL's together.
    pub processor_seconds: BTreeMap<&'static str, f64>,
    pub commits: i64,
}

impl Used {
    pub fn processor_seconds_in_all(&self) -> f64 {
        self.processor_seconds.values().sum()
    }

    pub fn commits_per_second(&self) -> f64 {
        self.commits as f64 / self.seconds.max(f64::EPSILON)
    }
}

impl Installation {
    /// # Errors
    /// Something does not start.
    pub async fn start(setup: Setup, settings: &Settings) -> Result<Self> {
        let mut folder = tempfile::Builder::new();
        folder.prefix("voltgate-load-");
        let folder = match &settings.folder {
            Some(place) => folder.tempdir_in(place)?,
            None => folder.tempdir()?,
        };
        // The database server of a run as root is another user, who has to get through.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
        let database = Database::start(folder.path(), &settings.postgres).await?;
        let mut listen = BTreeMap::new();
        for (service, _) in SERVICES {
            listen.insert(service, free_address()?);
        }
        let environments = match setup {
            Setup::AllInOne => vec![("voltgate", all_in_one(&database, &listen, folder.path())?)],
            Setup::Separate => separate(&database, &listen, folder.path())?,
        };
        let client = client()?;
        let mut processes = Vec::new();
        for (name, environment) in environments {
            processes.push(Process::start(name, &environment, &settings.set, folder.path(), &client).await?);
        }
        let installation = Self {
            setup,
            database,
            gateway: listen["gateway"].clone(),
            processes,
            _folder: folder,
        };
        installation.reached(&client).await?;
        Ok(installation)
    }

    /// Waits until the gateway reaches every service.
    async fn reached(&self, client: &reqwest::Client) -> Result<()> {
        let url = format!("http://{}/health", self.gateway);
        let begun = Instant::now();
        while begun.elapsed() < REACHED_WITHIN {
            let answer = client.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        bail!("the gateway does not reach every service")
    }

    /// # Errors
    /// A process has ended.
    pub async fn usage(&self) -> Result<Usage> {
        let mut processor = BTreeMap::new();
        for process in &self.processes {
            processor.insert(process.name, usage::processor_time(process.id()?)?);
        }
        processor.insert("PostgreSQL", self.database.processor_time()?);
        Ok(Usage {
            at: Instant::now(),
            processor,
            commits: self.database.commits().await?,
        })
    }

    /// What has been used since then; the time ends now, however long PostgreSQL takes to tell how many commits there were.
    ///
    /// # Errors
    /// A process has ended.
    pub async fn used_since(&self, before: &Usage) -> Result<Used> {
        let now = self.usage().await?;
        let spent = |(name, time): (&&'static str, &Duration)| {
            let before = before.processor.get(name).copied().unwrap_or_default();
            (*name, time.saturating_sub(before).as_secs_f64())
        };
        Ok(Used {
            seconds: (now.at - before.at).as_secs_f64(),
            processor_seconds: now.processor.iter().map(spent).collect(),
            commits: self.database.settled_commits().await? - before.commits,
        })
    }

    /// Memory of each process, in KiB, PostgreSQL's left out: that is a matter of its settings.
    ///
    /// # Errors
    /// A process has ended.
    pub fn memory(&self) -> Result<BTreeMap<&'static str, u64>> {
        let each = self.processes.iter();
        each.map(|process| Ok((process.name, usage::memory(process.id()?)?)))
            .collect()
    }

    /// Stops everything, the gateway first.
    ///
    /// # Errors
    /// Something does not stop.
    pub async fn stop(mut self) -> Result<()> {
        while let Some(process) = self.processes.pop() {
            process.stop().await?;
        }
        self.database.stop().await
    }
}

/// Settings that lift the bounds which would be measured instead.
const UNBOUNDED: [(&str, &str); 3] = [
    ("GATEWAY_RATE_LIMIT", "false"),
    ("GATEWAY_MAX_CONNECTIONS", "200000"),
    ("CHARGER_MESSAGES_PER_SECOND", "10000"),
];

/// Settings of every process.
fn common(listen: &BTreeMap<&str, String>) -> Result<Environment> {
    let mut environment = Environment::from([
        ("ADMIN_LISTEN", free_address()?),
        ("ADMIN_PASSWORD", ADMIN_PASSWORD.to_owned()),
        ("AUTH_URL", format!("http://{}", listen["auth-service"])),
        ("SERVICE_SECRET", "one secret for the services of this run".to_owned()),
        ("AUTH_SECRET", "seals the signing keys of this run only".to_owned()),
        ("CHARGER_SECRET", "hashes the passwords of this run only".to_owned()),
    ]);
    environment.extend(UNBOUNDED.map(|(name, value)| (name, value.to_owned())));
    Ok(environment)
}

fn databases(database: &Database) -> [(&'static str, String); 3] {
    [
        ("AUTH_DATABASE_URL", database.url_as("voltgate_auth")),
        ("CHARGER_DATABASE_URL", database.url_as("voltgate_charger")),
        ("EMAIL_DATABASE_URL", database.url_as("voltgate_email")),
    ]
}

fn all_in_one(database: &Database, listen: &BTreeMap<&str, String>, folder: &Path) -> Result<Environment> {
    let mut environment = common(listen)?;
    environment.extend(SERVICES.map(|(service, setting)| (setting, listen[service].clone())));
    environment.extend(databases(database));
    environment.insert("DATA_DIR", folder.join("data").display().to_string());
    Ok(environment)
}

/// Without a broker. Each start and end of a charge is an event for email-service: it stays in charger-service here, and is delivered in
/// one process.
fn separate(
    database: &Database,
    listen: &BTreeMap<&'static str, String>,
    folder: &Path,
) -> Result<Vec<(&'static str, Environment)>> {
    let upstreams = [
        ("auth", "auth-service"),
        ("ocpp", "charger-service"),
        ("email", "email-service"),
    ];
    let upstreams = upstreams.map(|(name, service)| format!("{name}=http://{}", listen[service]));
    let mut environments = Vec::new();
    for (service, setting) in SERVICES {
        let mut environment = common(listen)?;
        environment.insert(setting, listen.get(service).context("each service has a port")?.clone());
        match service {
            "gateway" => {
                environment.insert("GATEWAY_UPSTREAMS", upstreams.join(","));
            }
            _ => environment.extend(databases(database)),
        }
        environment.insert("EMAIL_FOLDER", folder.join("mail").display().to_string());
        environments.push((service, environment));
    }
    Ok(environments)
}
