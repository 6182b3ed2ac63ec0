//! The limits, as they are set from outside.

use std::time::Duration;

use clap::{ArgAction, Args};
use service_kit::start::StartError;

use super::class::Class;
use super::policy::{ClassLimits, Policies};
use super::redis::Redis;
use super::shared::Outage;

/// How often somebody may ask, and where that is counted.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct RateLimitSettings {
    /// Limit how often clients may ask: true or false
    #[arg(long, env, default_value_t = true, action = ArgAction::Set)]
    pub gateway_rate_limit: bool,
    /// How often may be read: requests in a window, for each stranger's address, account and API key, for all keys of an account and all of one address together; `off` for no limit
    #[arg(
        long,
        env,
        default_value = "stranger=300/10s,account=600/10s,key=600/10s,account-keys=1800/10s,address=3000/10s"
    )]
    pub gateway_rate_limit_read: ClassLimits,
    /// How often something may be changed
    #[arg(
        long,
        env,
        default_value = "stranger=300/10s,account=200/10s,key=600/10s,account-keys=1800/10s,address=2000/10s"
    )]
    pub gateway_rate_limit_write: ClassLimits,
    /// How often somebody may sign up, log in, or have a mail sent; auth-service throttles those who fail, and this holds back floods only
    #[arg(
        long,
        env,
        default_value = "account=60/1m,key=60/1m,account-keys=180/1m,address=3000/30s"
    )]
    pub gateway_rate_limit_sign_in: ClassLimits,
    /// How often logins may be renewed from one address
    #[arg(long, env, default_value = "address=3000/30s")]
    pub gateway_rate_limit_refresh: ClassLimits,
    /// How often what takes much work may be asked for: imports, exports, and lists as files
    #[arg(
        long,
        env,
        default_value = "stranger=10/1m,account=30/1m,key=60/1m,account-keys=180/1m,address=300/1m"
    )]
    pub gateway_rate_limit_heavy: ClassLimits,
    /// How often a stream of events, an upload or a download may begin
    #[arg(
        long,
        env,
        default_value = "stranger=60/1m,account=120/1m,key=120/1m,account-keys=360/1m,address=1200/1m"
    )]
    pub gateway_rate_limit_stream: ClassLimits,
    /// How often each charge point may connect from one address, all from there that were not let in before, and all that were
    #[arg(long, env, default_value = "station=30/90s,stranger=1000/30s,address=3000/30s")]
    pub gateway_rate_limit_device: ClassLimits,
    /// How often files of charge points may be fetched and left from one address
    #[arg(long, env, default_value = "address=3000/30s")]
    pub gateway_rate_limit_transfer: ClassLimits,
    /// How often each charge point may post a frame from one address, all from there that were not let in before, and all that were
    #[arg(long, env, default_value = "station=1200/1m,stranger=1200/1m,address=12000/1m")]
    pub gateway_rate_limit_frame: ClassLimits,
    /// How often an API key that this gateway does not know may be shown from one address; each takes a question to auth-service
    #[arg(long, env, default_value = "address=300/1m")]
    pub gateway_rate_limit_credential: ClassLimits,
    /// A Redis where all gateways count together, such as redis://:password@redis:6379/0; each counts for itself where it is left out
    #[arg(long, env, hide_env_values = true)]
    pub redis_url: Option<String>,
    /// What holds while Redis is away: `memory` has each gateway count for itself, `open` counts nobody, `closed` lets nobody in
    #[arg(long, env, value_enum, default_value_t = Outage::Memory)]
    pub gateway_rate_limit_outage: Outage,
    /// How long a request waits for Redis, in milliseconds
    #[arg(long, env, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=5000))]
    pub gateway_rate_limit_patience: u64,
}

impl RateLimitSettings {
    /// # Errors
    /// A limit cannot be used.
    pub(super) fn policies(&self) -> Result<Policies, StartError> {
        if !self.gateway_rate_limit {
            return Ok(Policies::default());
        }
        Policies::new(|class| match class {
            Class::Read => &self.gateway_rate_limit_read,
            Class::Write => &self.gateway_rate_limit_write,
            Class::SignIn => &self.gateway_rate_limit_sign_in,
            Class::Refresh => &self.gateway_rate_limit_refresh,
            Class::Heavy => &self.gateway_rate_limit_heavy,
            Class::Stream => &self.gateway_rate_limit_stream,
            Class::Device => &self.gateway_rate_limit_device,
            Class::Transfer => &self.gateway_rate_limit_transfer,
            Class::Frame => &self.gateway_rate_limit_frame,
            Class::Credential => &self.gateway_rate_limit_credential,
        })
    }

    /// # Errors
    /// The URL cannot be used.
    pub(super) fn redis(&self) -> Result<Option<Redis>, StartError> {
        let url = self.redis_url.as_deref().filter(|url| !url.is_empty());
        let patience = Duration::from_millis(self.gateway_rate_limit_patience);
        url.map(|url| Redis::new(url, patience)).transpose()
    }
}
