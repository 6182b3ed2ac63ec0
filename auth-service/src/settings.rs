//! The settings of auth-service alone. What it shares with other services is `service_kit::settings`.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::TimeDelta;
use clap::{Args, FromArgMatches as _};
use service_kit::settings::{is_placeholder, secret};
use service_kit::start::StartError;

use crate::administrator::FirstPassword;
use crate::passkey::{Misconfigured, RelyingParty};
use crate::password::Password;
use crate::session::Lifetimes;
use crate::throttle::Limits;
use crate::username::Username;
use service_kit::sealing::SealingKey;

#[derive(Args, Clone)]
#[group(skip)]
pub struct Settings {
    /// Where auth-service listens for gRPC
    #[arg(long, env, default_value = "127.0.0.1:50051")]
    pub auth_listen: SocketAddr,
    /// PostgreSQL for auth-service, where it is not the one of DATABASE_URL
    #[arg(long, env, hide_env_values = true)]
    pub auth_database_url: Option<String>,
    /// Seals the signing keys in the database, the same at every start; 32 characters or more
    #[arg(long, env, hide_env_values = true)]
    pub auth_secret: Option<String>,
    /// Seconds that an access token is valid
    #[arg(long, env, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub auth_access_token_seconds: u32,
    /// Days that a key signs access tokens before the next one takes its place
    #[arg(long, env, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub auth_signing_key_days: u32,
    /// Days that a session lasts without being used
    #[arg(long, env, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub auth_session_idle_days: u32,
    /// Days that a session lasts at the most
    #[arg(long, env, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub auth_session_days: u32,
    /// Days that entries of auth-service's audit log are kept
    #[arg(long, env, default_value_t = 730, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub auth_audit_retention_days: u32,
    /// Failed logins of one client for one account that cost nothing; each one more makes the next attempt wait, twice as long each time
    #[arg(long, env, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub auth_free_failures: u32,
    /// The same for all failed logins from one address, for whatever accounts; higher where many people share one
    #[arg(long, env, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub auth_free_failures_per_address: u32,
    /// Signups from one address that need not wait; it may go on with one a minute
    #[arg(long, env, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub auth_free_signups_per_address: u32,
    /// Seconds that anybody is made to wait at the most for having failed too often
    #[arg(long, env, default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub auth_longest_wait_seconds: u32,
    /// What people call this installation, in their authenticator apps and passkeys
    #[arg(long, env, default_value = "Voltgate")]
    pub auth_site_name: String,
    /// Domain that passkeys belong to, such as example.com; those of another domain do not work any more
    #[arg(long, env, default_value = "localhost")]
    pub auth_passkey_rp_id: String,
    /// Origins of the pages that may ask for a passkey, all of that domain or below it, separated by commas
    #[arg(long, env, default_value = "http://localhost:8080")]
    pub auth_passkey_origins: String,
    /// Name of the first administrator, created where there is none
    #[arg(long, env, default_value = "admin")]
    pub admin_username: String,
    /// Password of the first administrator; read only where there is no administrator yet
    #[arg(long, env, hide_env_values = true)]
    pub admin_password: Option<String>,
    /// Without `ADMIN_PASSWORD`: make a password up, because whoever starts the process will see it.
    #[arg(skip)]
    pub generate_admin_password: bool,
}

/// What holds where nothing is set.
impl Default for Settings {
    fn default() -> Self {
        let matches = Self::augment_args(clap::Command::new(crate::NAME)).get_matches_from([crate::NAME]);
        Self::from_arg_matches(&matches).expect("every setting has a default or may be left out")
    }
}

impl Settings {
    pub(crate) fn sealing_key(&self) -> Result<SealingKey, StartError> {
        Ok(SealingKey::derive(
            "authentication",
            secret("AUTH_SECRET", self.auth_secret.as_deref())?,
        ))
    }

    pub(crate) fn access_token_lifetime(&self) -> Duration {
        Duration::from_secs(self.auth_access_token_seconds.into())
    }

    pub(crate) fn signing_key_period(&self) -> TimeDelta {
        TimeDelta::days(self.auth_signing_key_days.into())
    }

    pub(crate) fn session_lifetimes(&self) -> Lifetimes {
        Lifetimes {
            idle: TimeDelta::days(self.auth_session_idle_days.into()),
            absolute: TimeDelta::days(self.auth_session_days.into()),
        }
    }

    pub(crate) fn audit_retention(&self) -> TimeDelta {
        TimeDelta::days(self.auth_audit_retention_days.into())
    }

    pub(crate) fn throttle_limits(&self) -> Limits {
        Limits {
            failures: self.auth_free_failures,
            failures_per_address: self.auth_free_failures_per_address,
            signups_per_address: self.auth_free_signups_per_address,
            longest_wait: self.auth_longest_wait_seconds,
        }
    }

    pub(crate) fn relying_party(&self) -> Result<RelyingParty, StartError> {
        if self.auth_site_name.trim().is_empty() || self.auth_site_name.contains(':') {
            let problem = "must be a name without a colon, for that is how authenticator apps read it";
            return Err(StartError::setting("AUTH_SITE_NAME", problem));
        }
        RelyingParty::new(
            &self.auth_passkey_rp_id,
            &self.auth_passkey_origins,
            &self.auth_site_name,
        )
        .map_err(|problem| {
            let setting = match problem {
                Misconfigured::RpId(_) => "AUTH_PASSKEY_RP_ID",
                Misconfigured::Origins(_) => "AUTH_PASSKEY_ORIGINS",
            };
            StartError::setting(setting, problem.to_string())
        })
    }

    pub(crate) fn admin_username(&self) -> Result<Username, StartError> {
        Username::parse(&self.admin_username)
            .map_err(|problem| StartError::setting("ADMIN_USERNAME", problem.to_string()))
    }

    /// A variable that is set to nothing counts as not set, as compose files do that.
    pub(crate) fn first_password(&self, username: &Username) -> Result<FirstPassword, StartError> {
        match self.admin_password.as_deref() {
            None | Some("") if self.generate_admin_password => Ok(FirstPassword::Generate),
            None | Some("") => Ok(FirstPassword::Missing),
            Some(text) if is_placeholder(text) => Err(StartError::setting(
                "ADMIN_PASSWORD",
                "is a placeholder; choose a password",
            )),
            Some(text) => Password::parse(text, Some(username))
                .map(FirstPassword::Given)
                .map_err(|problems| {
                    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                    StartError::setting("ADMIN_PASSWORD", problems.join(", "))
                }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Process {
        #[command(flatten)]
        settings: Settings,
    }

    fn settings(arguments: &[&str]) -> Settings {
        Process::try_parse_from(["auth-service"].iter().chain(arguments))
            .unwrap()
            .settings
    }

    fn first_password(arguments: &[&str]) -> Result<FirstPassword, String> {
        let settings = settings(arguments);
        settings
            .first_password(&settings.admin_username().unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_is_valid_for_five_minutes_and_a_session_for_thirty_days_idle_and_ninety_in_all() {
        assert_eq!(settings(&[]).access_token_lifetime(), Duration::from_secs(300));
        let sessions = settings(&[]).session_lifetimes();
        assert_eq!(
            (sessions.idle, sessions.absolute),
            (TimeDelta::days(30), TimeDelta::days(90))
        );
    }

    #[test]
    fn a_placeholder_is_no_secret() {
        let refused = |secret: &str| {
            settings(&["--auth-secret", secret])
                .sealing_key()
                .err()
                .unwrap()
                .to_string()
        };
        assert!(refused("change-me").starts_with("AUTH_SECRET: is a placeholder"));
        assert!(refused("too short").starts_with("AUTH_SECRET: is shorter"));
    }

    #[test]
    fn a_password_that_is_weak_or_a_placeholder_is_refused_by_the_name_of_its_setting() {
        for (password, refusal) in [
            ("change-me-now", "ADMIN_PASSWORD: is a placeholder; choose a password"),
            ("short", "ADMIN_PASSWORD: has fewer than 8 characters"),
            (
                "admin123",
                "ADMIN_PASSWORD: is among the most common passwords, contains the username",
            ),
        ] {
            assert_eq!(first_password(&["--admin-password", password]).err().unwrap(), refusal);
        }
    }

    #[test]
    fn an_empty_password_counts_as_none() {
        assert!(matches!(
            first_password(&["--admin-password", ""]),
            Ok(FirstPassword::Missing)
        ));
        assert!(matches!(first_password(&[]), Ok(FirstPassword::Missing)));
        assert!(matches!(
            first_password(&["--admin-password", "correct horse"]),
            Ok(FirstPassword::Given(_))
        ));
    }
}
