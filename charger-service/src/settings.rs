//! The settings of charger-service alone. What it shares with other services is `service_kit::settings`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, value_parser};
use service_kit::sealing::SealingKey;
use service_kit::settings::secret;
use service_kit::start::StartError;
use sqlx::PgPool;

use crate::certificate::authority::{Authority, AuthorityError};
use crate::certificate::issue::Issuance;
use crate::charge_point::password::PasswordKey;
use crate::file::Store;
use crate::session::answer::Intervals;
use crate::transfer::Transfers;
use crate::transfer::url::NoPublicUrl;

#[derive(Args, Clone)]
#[group(skip)]
pub struct Settings {
    /// Where charger-service listens for gRPC
    #[arg(long, env, default_value = "127.0.0.1:50052")]
    pub charger_listen: SocketAddr,
    /// PostgreSQL for charger-service, where it is not the one of DATABASE_URL
    #[arg(long, env, hide_env_values = true)]
    pub charger_database_url: Option<String>,
    /// Charge points' passwords are hashed under it, the same at every start; 32 characters or more
    #[arg(long, env, hide_env_values = true)]
    pub charger_secret: Option<String>,
    /// Let charge points in that have no credentials (security profile 0): true or false; true in `voltgate` alone where it is left out
    #[arg(long, env)]
    pub charger_allow_unsecured: Option<bool>,
    /// Organization (O) that charge points' certificates must name with security profile 3; any where it is left out
    #[arg(long, env)]
    pub charger_certificate_organization: Option<String>,
    /// Register charge points that nobody has registered, when they connect: true or false. With the password that they bring, or none where that is allowed: for laboratories
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set)]
    pub charger_accept_unknown: bool,
    /// How many messages a charge point may send in a second for ever; after a burst of ten times as many it is read more slowly
    #[arg(long, env, default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    pub charger_messages_per_second: u32,
    /// The authority that issues charge points' certificates, with those above it, in PEM; one of our own, kept in the database, where it is left out
    #[arg(long, env)]
    pub charger_certificate_authority: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, env)]
    pub charger_certificate_authority_key: Option<PathBuf>,
    /// Days that a charge point's certificate is good
    #[arg(long, env, default_value_t = 397, value_parser = value_parser!(u32).range(1..=3650))]
    pub charger_certificate_days: u32,
    /// Sign and send at once what charge points ask for with SignCertificate: true or false
    #[arg(long, env, default_value_t = true, action = clap::ArgAction::Set)]
    pub charger_sign_certificates: bool,
    /// Seconds that a charge point has to answer a command
    #[arg(long, env, default_value_t = 30, value_parser = value_parser!(u32).range(1..=600))]
    pub charger_call_timeout_seconds: u32,
    /// Seconds between the heartbeats of a charge point
    #[arg(long, env, default_value_t = 300, value_parser = value_parser!(u32).range(1..=86_400))]
    pub charger_heartbeat_seconds: u32,
    /// Seconds after which a charge point that was not accepted boots again
    #[arg(long, env, default_value_t = 60, value_parser = value_parser!(u32).range(1..=86_400))]
    pub charger_boot_retry_seconds: u32,
    /// Where charge points reach the gateway, such as https://charge.example.com: they fetch firmware below it and leave logs there; in `voltgate` alone the address of GATEWAY_LISTEN where it is left out
    #[arg(long, env)]
    pub charger_public_url: Option<String>,
    /// Hours that the URL of a file is good after the time at which it may first be used
    #[arg(long, env, default_value_t = 48, value_parser = value_parser!(u32).range(1..=8760))]
    pub charger_file_url_hours: u32,
    /// How large a file may be, in MiB: firmware, and what charge points send
    #[arg(long, env, default_value_t = 64, value_parser = value_parser!(u16).range(1..=2047))]
    pub charger_file_largest_mib: u16,
    /// How much all files may take in the database together, in MiB
    #[arg(long, env, default_value_t = 10_240, value_parser = value_parser!(u32).range(1..=16_777_216))]
    pub charger_file_total_mib: u32,
    /// Days that diagnostics and logs of charge points are kept
    #[arg(long, env, default_value_t = 90, value_parser = value_parser!(u32).range(1..=3650))]
    pub charger_file_retention_days: u32,
    /// Days that the message log is kept; it is dropped by whole weeks
    #[arg(long, env, default_value_t = 90, value_parser = value_parser!(u32).range(1..=3650))]
    pub charger_message_retention_days: u32,
    /// Days that security events are kept
    #[arg(long, env, default_value_t = 365, value_parser = value_parser!(u32).range(1..=3650))]
    pub charger_security_event_retention_days: u32,
}

impl Settings {
    pub(crate) fn password_key(&self) -> Result<PasswordKey, StartError> {
        Ok(PasswordKey::new(secret(
            "CHARGER_SECRET",
            self.charger_secret.as_deref(),
        )?))
    }

    /// Who issues certificates, and how.
    pub(crate) async fn issuance(&self, database: &PgPool, now: DateTime<Utc>) -> Result<Issuance, StartError> {
        let validity = TimeDelta::days(self.charger_certificate_days.into());
        let file = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        let files = (
            file(&self.charger_certificate_authority),
            file(&self.charger_certificate_authority_key),
        );
        let authority = match files {
            (Some(chain), Some(key)) => {
                let chain = read("CHARGER_CERTIFICATE_AUTHORITY", &chain)?;
                let key = read("CHARGER_CERTIFICATE_AUTHORITY_KEY", &key)?;
                Authority::of_files(&chain, &key, validity)
                    .map_err(|error| unusable("CHARGER_CERTIFICATE_AUTHORITY", &error))?
            }
            (None, None) => {
                let secret = secret("CHARGER_SECRET", self.charger_secret.as_deref())?;
                let sealing = SealingKey::derive("ocpp", secret);
                Authority::own(database, &sealing, validity, now)
                    .await
                    .map_err(|error| unusable("CHARGER_SECRET", &error))?
            }
            (Some(_), None) => {
                let problem = "is not set, though CHARGER_CERTIFICATE_AUTHORITY is";
                return Err(StartError::setting("CHARGER_CERTIFICATE_AUTHORITY_KEY", problem));
            }
            (None, Some(_)) => {
                let problem = "is not set, though CHARGER_CERTIFICATE_AUTHORITY_KEY is";
                return Err(StartError::setting("CHARGER_CERTIFICATE_AUTHORITY", problem));
            }
        };
        Ok(Issuance {
            authority,
            organization: self.certificate_organization(),
            automatic: self.charger_sign_certificates,
        })
    }

    fn certificate_organization(&self) -> Option<String> {
        self.charger_certificate_organization
            .clone()
            .filter(|name| !name.is_empty())
    }

    pub(crate) fn call_timeout(&self) -> Duration {
        Duration::from_secs(self.charger_call_timeout_seconds.into())
    }

    pub(crate) fn intervals(&self) -> Intervals {
        Intervals {
            heartbeat_seconds: self.charger_heartbeat_seconds,
            boot_retry_seconds: self.charger_boot_retry_seconds,
        }
    }

    pub(crate) fn file_store(&self) -> Store {
        let retention = TimeDelta::days(self.charger_file_retention_days.into());
        Store::new(self.charger_file_largest_mib, self.charger_file_total_mib, retention)
    }

    pub(crate) fn transfers(&self) -> Result<Transfers, StartError> {
        let url = self.charger_public_url.as_deref().filter(|url| !url.is_empty());
        let public_url = url.map(str::parse).transpose();
        Ok(Transfers {
            public_url: public_url
                .map_err(|problem: NoPublicUrl| StartError::setting("CHARGER_PUBLIC_URL", problem.to_string()))?,
            validity: TimeDelta::hours(self.charger_file_url_hours.into()),
        })
    }

    pub(crate) fn retention(&self) -> TimeDelta {
        TimeDelta::days(self.charger_message_retention_days.into())
    }

    pub(crate) fn security_event_retention(&self) -> TimeDelta {
        TimeDelta::days(self.charger_security_event_retention_days.into())
    }
}

fn read(setting: &'static str, path: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(path).map_err(|error| StartError::setting(setting, format!("{}: {error}", path.display())))
}

fn unusable(setting: &'static str, error: &AuthorityError) -> StartError {
    StartError::setting(setting, error.to_string())
}
