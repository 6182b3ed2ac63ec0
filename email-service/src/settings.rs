//! Settings of email-service.

use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::TimeDelta;
use clap::Args;
use service_kit::hook::Reach;
use service_kit::sealing::SealingKey;
use service_kit::start::StartError;

/// In characters.
const SHORTEST_SECRET: usize = 32;

/// What email-service needs to know beyond what every service does.
#[derive(Args, Clone)]
#[group(skip)]
pub struct Settings {
    /// Where email-service listens for gRPC
    #[arg(long, env, default_value = "127.0.0.1:50053")]
    pub email_listen: SocketAddr,
    /// PostgreSQL for email-service, if it is not that of DATABASE_URL
    #[arg(long, env, hide_env_values = true)]
    pub email_database_url: Option<String>,
    /// Mail server, as smtp://user:password@host:587?tls=required or smtps://…; without one mail goes to EMAIL_FOLDER
    #[arg(long, env, hide_env_values = true)]
    pub smtp_url: Option<String>,
    /// Sender of every mail
    #[arg(long, env, default_value = "Voltgate <voltgate@localhost>")]
    pub email_from: String,
    /// Public URL of the pages that take the codes in mails, <URL>/verify-email#code=… and <URL>/reset-password#code=…; without one mails show the code alone
    #[arg(long, env)]
    pub email_pages_url: Option<String>,
    /// Public URL of the gateway, https; where it is set, mail programs offer to end notices at one click
    #[arg(long, env)]
    pub email_public_url: Option<String>,
    /// Days that events and the messages that they led to are kept; 8 or more, since an event may come again for a week
    #[arg(long, env, default_value_t = 90, value_parser = clap::value_parser!(u32).range(8..=36_500))]
    pub email_retention_days: u32,
    /// Secret under which the signing secrets of webhooks are kept, of at least 32 characters (openssl rand -hex 32); without one there are no webhooks. `voltgate` alone makes one where it is left out
    #[arg(long, env, hide_env_values = true)]
    pub email_secret: Option<String>,
    /// Let webhooks be at internal addresses, and http: true or false
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set)]
    pub email_webhook_allow_internal: bool,
    /// Days that the audit log of mail is kept
    #[arg(long, env, default_value_t = 730, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub email_audit_retention_days: u32,
    /// Folder that mail is written to, one .eml file each, where there is no SMTP_URL; ./data/mail where it is left out
    #[arg(long, env)]
    pub email_folder: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn retention(&self) -> TimeDelta {
        TimeDelta::days(self.email_retention_days.into())
    }

    /// For secrets that the database keeps.
    pub(crate) fn sealing(&self) -> Result<Option<SealingKey>, StartError> {
        match self.email_secret.as_deref().filter(|secret| !secret.is_empty()) {
            None => Ok(None),
            Some(secret) if secret.len() < SHORTEST_SECRET => {
                Err(StartError::setting("EMAIL_SECRET", "is shorter than 32 characters"))
            }
            Some(secret) => Ok(Some(SealingKey::derive("email", secret))),
        }
    }

    pub(crate) fn webhook_reach(&self) -> Reach {
        match self.email_webhook_allow_internal {
            true => Reach::Anywhere,
            false => Reach::Public,
        }
    }

    pub(crate) fn audit_retention(&self) -> TimeDelta {
        TimeDelta::days(self.email_audit_retention_days.into())
    }

    pub(crate) fn email_folder(&self) -> PathBuf {
        self.email_folder
            .clone()
            .unwrap_or_else(|| PathBuf::from("./data/mail"))
    }
}
