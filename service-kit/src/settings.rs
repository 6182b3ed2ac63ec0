//! Settings that more than one binary has. Each comes from a flag, the environment or `.env`, in that order.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::access::ServiceSecret;
use crate::start::StartError;
use crate::trace::TraceSettings;

/// Reads `.env` from the current folder, where there is one. Variables already set win.
///
/// # Errors
/// A file that is there but cannot be read as settings.
pub fn load_dotenv() -> Result<(), StartError> {
    match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(error) => Err(StartError::other("cannot read .env", error)),
    }
}

/// How a process logs, is watched and ends.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ProcessSettings {
    /// Which log lines are written: a level, or levels by module as in `info,charger_service=debug`
    #[arg(long, env, default_value = "info")]
    pub log_filter: String,
    /// How log lines are written
    #[arg(long, env, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Where /metrics, /livez and /readyz of the process listen
    #[arg(long, env, default_value = "127.0.0.1:9090")]
    pub admin_listen: SocketAddr,
    /// How long requests under way may take to end when the process is told to stop, in seconds
    #[arg(long, env, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=300))]
    pub drain_seconds: u64,
    #[command(flatten)]
    pub trace: TraceSettings,
}

impl ProcessSettings {
    /// [`ProcessSettings::drain_seconds`] as a duration.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// The database, for every service that has no URL of its own.
#[derive(Args, Clone)]
#[group(skip)]
pub struct DatabaseSettings {
    /// PostgreSQL for every service that has no URL of its own
    #[arg(long, env, hide_env_values = true)]
    pub database_url: Option<String>,
    /// Connections that each service may open to PostgreSQL; it takes up to four of them for good
    #[arg(long, env, default_value_t = 10, value_parser = clap::value_parser!(u32).range(8..=1000))]
    pub database_max_connections: u32,
    /// How long PostgreSQL may work on one statement of a service, in seconds
    #[arg(long, env, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub database_statement_seconds: u64,
}

/// A database URL together with the setting it came from, so that an error can name it.
#[derive(Clone)]
pub struct DatabaseUrl {
    pub url: String,
    pub setting: &'static str,
    pub max_connections: u32,
    pub longest_statement: Duration,
}

impl DatabaseSettings {
    /// The service's own URL, or else `DATABASE_URL`.
    ///
    /// # Errors
    /// Neither is set.
    pub fn url_or<'a>(&'a self, own: Option<&'a String>, own_setting: &'static str) -> Result<DatabaseUrl, StartError> {
        // A variable that is set to nothing counts as not set: compose files do that.
        let set = |url: Option<&'a String>| url.filter(|url| !url.is_empty());
        let (url, setting) = match (set(own), set(self.database_url.as_ref())) {
            (Some(url), _) => (url, own_setting),
            (None, Some(url)) => (url, "DATABASE_URL"),
            (None, None) => {
                return Err(StartError::setting(
                    own_setting,
                    "is not set, and neither is DATABASE_URL; one of them must say where PostgreSQL is",
                ));
            }
        };
        Ok(DatabaseUrl {
            url: url.clone(),
            setting,
            max_connections: self.database_max_connections,
            longest_statement: Duration::from_secs(self.database_statement_seconds),
        })
    }
}

/// What a service takes on.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ServiceSettings {
    /// How many calls each service may have under way, charge points not counted; more are refused at once, for they would only wait for the database
    #[arg(long, env, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub service_max_calls: u32,
}

/// The queue.
#[derive(Args, Clone)]
#[group(skip)]
pub struct BusSettings {
    /// RabbitMQ, such as amqp://user:password@host:5672/%2f
    #[arg(long, env, hide_env_values = true)]
    pub amqp_url: Option<String>,
}

/// How callers prove who they are.
#[derive(Args, Clone)]
#[group(skip)]
pub struct AccessSettings {
    /// auth-service, asked for the keys that verify access tokens
    #[arg(long, env, default_value = "http://127.0.0.1:50051")]
    pub auth_url: String,
    /// `iss` of access tokens
    #[arg(long, env, default_value = "voltgate")]
    pub auth_issuer: String,
    /// `aud` of access tokens
    #[arg(long, env, default_value = "voltgate")]
    pub auth_audience: String,
    /// Shared by Voltgate's own processes, which prove themselves to each other by it where they do not by mutual TLS; 32 characters or more
    #[arg(long, env, hide_env_values = true)]
    pub service_secret: Option<String>,
}

impl AccessSettings {
    /// With mutual TLS there need not be one. Then it is one that nobody else has: no token counts.
    ///
    /// # Errors
    /// `SERVICE_SECRET` is missing, too short or a placeholder.
    pub fn service_secret(&self, mutual_tls: bool) -> Result<ServiceSecret, StartError> {
        if mutual_tls && self.service_secret.as_deref().unwrap_or_default().is_empty() {
            return Ok(ServiceSecret::new(&rand::random::<[u8; 32]>()));
        }
        let secret = secret("SERVICE_SECRET", self.service_secret.as_deref())?;
        Ok(ServiceSecret::new(secret.as_bytes()))
    }
}

/// Reads a secret from a setting.
///
/// # Errors
/// It is missing, shorter than 32 characters, or a placeholder from a template.
pub fn secret<'a>(name: &'static str, value: Option<&'a str>) -> Result<&'a str, StartError> {
    let value = value.unwrap_or_default();
    let problem = if value.is_empty() {
        "is not set; make one with `openssl rand -base64 32`"
    } else if is_placeholder(value) {
        "is a placeholder; make a secret with `openssl rand -base64 32`"
    } else if value.chars().count() < 32 {
        "is shorter than 32 characters; make one with `openssl rand -base64 32`"
    } else {
        return Ok(value);
    };
    Err(StartError::setting(name, problem))
}

/// Whether a secret was copied from a template and never changed.
pub fn is_placeholder(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    ["change-me", "changeme", "change_me", "placeholder", "example"]
        .iter()
        .any(|word| value.contains(word))
        || value.chars().zip(value.chars().skip(1)).all(|(one, next)| one == next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_not_a_secret() {
        for value in ["", "short", "change-me-change-me-change-me-change-me", &"x".repeat(40)] {
            let error = secret("SERVICE_SECRET", Some(value)).expect_err(value);
            assert!(error.to_string().starts_with("SERVICE_SECRET: "), "{error}");
        }
    }

    /// Four of auth-service's are taken for good, and half of the others are for attempts to log in.
    #[test]
    fn a_service_has_connections_left_besides_those_that_it_listens_by() {
        let connections = |number: &str| {
            let command = DatabaseSettings::augment_args(clap::Command::new("service"));
            command.try_get_matches_from(["service", "--database-max-connections", number])
        };
        assert!(connections("7").is_err());
        assert!(connections("8").is_ok());
    }

    #[test]
    fn a_long_random_string_is_a_secret() {
        assert!(secret("S", Some("q3Jw0dV1oZb8yT6uK2nX9mC4eR7sA5hL")).is_ok());
    }
}
