//! The settings of charger-service alone. What it shares with other services is `service_kit::settings`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, value_parser};
use http::HeaderValue;
use service_kit::sealing::SealingKey;
use service_kit::settings::secret;
use service_kit::start::StartError;
use sqlx::PgPool;

use crate::authority::{self, Asked, Fallback};
use crate::certificate::authority::{Authority, AuthorityError};
use crate::certificate::issue::Issuance;
use crate::charge_point::password::PasswordKey;
use crate::file::Store;
use crate::housekeeping::Retention;
use crate::session::answer::Intervals;
use crate::transfer::Transfers;
use crate::transfer::url::NoPublicUrl;
use service_kit::hook::{Hooks, Reach, Url};

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
    /// Asked whether a token may charge: POST of JSON to this URL (docs/authorization.md). Nobody is where it is left out
    #[arg(long, env, hide_env_values = true)]
    pub charger_authorization_url: Option<String>,
    /// Sent to it as Authorization: Bearer
    #[arg(long, env, hide_env_values = true)]
    pub charger_authorization_token: Option<String>,
    /// Seconds that it has to answer; charge points wait meanwhile
    #[arg(long, env, default_value_t = 5, value_parser = value_parser!(u32).range(1..=30))]
    pub charger_authorization_timeout_seconds: u32,
    /// Which tokens it is asked about: unknown, those that are not registered here; or always, those too that are and would be accepted
    #[arg(long, env, value_enum, default_value = "unknown", hide_possible_values = true)]
    pub charger_authorization_asked: Asked,
    /// What counts where it does not answer: local, what is registered here; reject or accept, for all that it would have been asked about
    #[arg(long, env, value_enum, default_value = "local", hide_possible_values = true)]
    pub charger_authorization_fallback: Fallback,
    /// Let vendors' webhooks (data-transfer-vendors) be at internal addresses, and http: true or false
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set)]
    pub charger_webhook_allow_internal: bool,
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
    /// Days that events are kept for those who listen to them and were away; they are dropped by whole days
    #[arg(long, env, default_value_t = 7, value_parser = value_parser!(u32).range(1..=31))]
    pub charger_event_retention_days: u32,
    /// Days that security events are kept
    #[arg(long, env, default_value_t = 365, value_parser = value_parser!(u32).range(1..=3650))]
    pub charger_security_event_retention_days: u32,
    /// Days that the audit log of charge points and id tokens is kept
    #[arg(long, env, default_value_t = 730, value_parser = value_parser!(u32).range(1..=36_500))]
    pub charger_audit_retention_days: u32,
    /// Days that the history of connectors is kept
    #[arg(long, env, default_value_t = 90, value_parser = value_parser!(u32).range(1..=3650))]
    pub charger_status_retention_days: u32,
}

impl Settings {
    pub(crate) fn password_key(&self) -> Result<PasswordKey, StartError> {
        Ok(PasswordKey::new(secret(
            "CHARGER_SECRET",
            self.charger_secret.as_deref(),
        )?))
    }

    /// For secrets that the database keeps.
    pub(crate) fn sealing(&self) -> Result<SealingKey, StartError> {
        let secret = secret("CHARGER_SECRET", self.charger_secret.as_deref())?;
        Ok(SealingKey::derive("ocpp", secret))
    }

    /// Who is asked about tokens besides ourselves.
    pub(crate) fn authority(&self) -> Result<Option<authority::Authority>, StartError> {
        let Some(url) = self.charger_authorization_url.as_ref().filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let url =
            Url::parse(url).map_err(|error| StartError::setting("CHARGER_AUTHORIZATION_URL", error.to_string()))?;
        let token = self
            .charger_authorization_token
            .as_ref()
            .filter(|token| !token.is_empty());
        let bearer: Option<Result<_, StartError>> = token.map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                StartError::setting("CHARGER_AUTHORIZATION_TOKEN", "has a character that no header may have")
            })?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Some(authority::Authority {
            // Whoever runs the installation knows where it is.
            hooks: Hooks::new(Reach::Anywhere),
            url,
            bearer: bearer.transpose()?,
            timeout: Duration::from_secs(self.charger_authorization_timeout_seconds.into()),
            asked: self.charger_authorization_asked,
            fallback: self.charger_authorization_fallback,
            room: authority::Authority::room(),
            patience: authority::Patience::default(),
        }))
    }

    pub(crate) fn webhook_reach(&self) -> Reach {
        if self.charger_webhook_allow_internal {
            Reach::Anywhere
        } else {
            Reach::Public
        }
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
            (None, None) => Authority::own(database, &self.sealing()?, validity, now)
                .await
                .map_err(|error| unusable("CHARGER_SECRET", &error))?,
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
            is_shared: file(&self.charger_certificate_authority).is_some(),
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

    pub(crate) fn retention(&self) -> Retention {
        let days = |days: u32| TimeDelta::days(days.into());
        Retention {
            messages: days(self.charger_message_retention_days),
            events: days(self.charger_event_retention_days),
            security_events: days(self.charger_security_event_retention_days),
            audit: days(self.charger_audit_retention_days),
            statuses: days(self.charger_status_retention_days),
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
}

fn read(setting: &'static str, path: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(path).map_err(|error| StartError::setting(setting, format!("{}: {error}", path.display())))
}

fn unusable(setting: &'static str, error: &AuthorityError) -> StartError {
    StartError::setting(setting, error.to_string())
}
