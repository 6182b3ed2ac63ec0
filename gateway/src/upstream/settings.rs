//! How the gateway deals with replicas that calls do not reach.

use std::time::Duration;

use clap::Args;
use service_kit::backoff::Backoff;
use service_kit::start::StartError;

/// The settings of replicas, retries and ejections.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ReplicaSettings {
    /// How often the names of services are looked up in DNS, in seconds, so that replicas that come and go are noticed
    #[arg(long, env, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub gateway_lookup_seconds: u64,
    /// How often a call is made that failed on the way and may be made again, the first time included; 1 for never again
    #[arg(long, env, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub gateway_retry_attempts: u32,
    /// How many calls of a hundred to each service may be made again, so that a service that struggles is not finished off
    #[arg(long, env, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub gateway_retry_budget_percent: u32,
    /// How many calls in a row must break off until a replica is left alone; one that cannot be connected to is at once
    #[arg(long, env, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub gateway_ejection_breaks: u32,
    /// How long a replica is left alone the first time, in seconds; twice as long each time after that
    #[arg(long, env, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub gateway_ejection_seconds: u64,
    /// How long a replica is left alone at most, in seconds; after as long in service it begins anew
    #[arg(long, env, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub gateway_ejection_longest_seconds: u64,
    /// Where fewer of a hundred replicas of a service are left than this, nobody is left alone: the few would drown in the work of all
    #[arg(long, env, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub gateway_ejection_panic_percent: u32,
}

/// The same, as it is used.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub lookup_interval: Duration,
    pub attempts: u32,
    pub retry_percent: u32,
    pub ejection: EjectionRules,
}

/// When a replica is left alone.
#[derive(Clone, Copy, Debug)]
pub struct EjectionRules {
    /// Streams or connections that break in a row.
    pub breaks: u32,
    /// How long the first time, and at most.
    pub time: Backoff,
    pub panic_percent: u32,
}

impl ReplicaSettings {
    /// # Errors
    /// The longest ejection is shorter than the first.
    pub fn rules(&self) -> Result<Rules, StartError> {
        let time = Backoff {
            first: Duration::from_secs(self.gateway_ejection_seconds),
            longest: Duration::from_secs(self.gateway_ejection_longest_seconds),
        };
        if time.longest < time.first {
            let problem = "is less than GATEWAY_EJECTION_SECONDS";
            return Err(StartError::setting("GATEWAY_EJECTION_LONGEST_SECONDS", problem));
        }
        Ok(Rules {
            lookup_interval: Duration::from_secs(self.gateway_lookup_seconds),
            attempts: self.gateway_retry_attempts,
            retry_percent: self.gateway_retry_budget_percent,
            ejection: EjectionRules {
                breaks: self.gateway_ejection_breaks,
                time,
                panic_percent: self.gateway_ejection_panic_percent,
            },
        })
    }
}

/// The rules that nobody has changed.
#[cfg(test)]
impl Default for Rules {
    #[allow(clippy::unwrap_used)]
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct Arguments {
            #[command(flatten)]
            replicas: ReplicaSettings,
        }
        let arguments: Arguments = clap::Parser::parse_from(["gateway"]);
        arguments.replicas.rules().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_ejection_cannot_be_shorter_than_the_first() {
        let settings = ReplicaSettings {
            gateway_lookup_seconds: 5,
            gateway_retry_attempts: 3,
            gateway_retry_budget_percent: 20,
            gateway_ejection_breaks: 3,
            gateway_ejection_seconds: 20,
            gateway_ejection_longest_seconds: 10,
            gateway_ejection_panic_percent: 25,
        };
        let refusal = settings.rules().expect_err("it makes no sense").to_string();
        assert!(refusal.starts_with("GATEWAY_EJECTION_LONGEST_SECONDS: "), "{refusal}");
    }
}
