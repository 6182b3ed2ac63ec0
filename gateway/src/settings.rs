//! What can be set from outside.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use service_kit::clock::SharedClock;
use service_kit::start::StartError;

use crate::client::{ForwardedHeader, Terminators, TrustedProxies};
use crate::health::ReadyNeeds;
use crate::observe::TraceParents;
use crate::origins::Origins;
use crate::rate_limit::RateLimitSettings;
use crate::server::{CertificateFiles, ClientCertificates, Listen, PublicTls, StationAuthorities};
use crate::upstream::{Addresses, ReplicaSettings, Upstreams};

/// The gateway's own settings.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// Where REST, charge points and the documentation are served without TLS; `off` for nowhere
    #[arg(long, env, default_value = "127.0.0.1:8080")]
    pub gateway_listen: Listen,
    /// Where they are served with TLS, such as 0.0.0.0:8443; `off` for nowhere
    #[arg(long, env, default_value = "off")]
    pub gateway_tls_listen: Listen,
    /// Certificates with their chains and keys, in PEM, as in chain.pem:key.pem,rsa-chain.pem:rsa-key.pem; the one that suits the client is taken
    #[arg(long, env, default_value = "")]
    pub gateway_tls_certificates: CertificateFiles,
    /// Authorities of charge points' certificates (security profile 3), in PEM
    #[arg(long, env)]
    pub gateway_tls_client_ca: Option<PathBuf>,
    /// Let charge points in with certificates that charger-service has issued, too: true or false
    #[arg(long, env, default_value_t = true, action = clap::ArgAction::Set)]
    pub gateway_tls_station_authority: bool,
    /// Where the services are, by the names that the protos give them; `|` between replicas of one, or a host's name for all
    #[arg(
        long,
        env,
        default_value = "auth=http://127.0.0.1:50051,ocpp=http://127.0.0.1:50052,email=http://127.0.0.1:50053"
    )]
    pub gateway_upstreams: Addresses,
    /// How long a service may take to answer, in seconds, where its endpoint does not say otherwise
    #[arg(long, env, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub gateway_request_timeout: u64,
    /// How many calls of each service may be under way at once, charge points not counted; more are answered with 503
    #[arg(long, env, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub gateway_max_calls: u32,
    #[command(flatten)]
    pub replicas: ReplicaSettings,
    /// How many connections may be open at once, charge points included
    #[arg(long, env, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub gateway_max_connections: u32,
    /// How often a charge point is asked for a sign of life, in seconds; after three without one its socket is closed
    #[arg(long, env, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub gateway_ping_seconds: u64,
    /// How large a message of a charge point may be, in bytes; over it the socket is closed with 1009
    #[arg(long, env, default_value_t = 1_048_576, value_parser = clap::value_parser!(u32).range(1024..=3_145_728))]
    pub gateway_largest_message: u32,
    /// Let charge points post single frames to /ocpp/{identity}: true or false; true in `voltgate` alone where it is left out
    #[arg(long, env)]
    pub gateway_http_binding: Option<bool>,
    /// How long a charge point's socket is kept while no replica of its service can take over, in seconds
    #[arg(long, env, default_value_t = 120, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub gateway_resume_seconds: u64,
    /// How often a stream of server-sent events that has nothing to say says so, in seconds
    #[arg(long, env, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub gateway_heartbeat_seconds: u64,
    /// How long a client may leave an answer unread that is a list, a file, a stream or large, in seconds; then it breaks off
    #[arg(long, env, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub gateway_stall_seconds: u64,
    /// Web origins whose pages may call the API and open WebSockets besides the gateway's own, such as https://console.example.com, separated by commas; `*` for all
    #[arg(long, env, default_value = "")]
    pub gateway_allowed_origins: Origins,
    /// Addresses and networks of the proxies before the gateway, such as 10.0.0.0/8, separated by commas; whom they say they speak for (X-Forwarded-For or Forwarded) is believed, and nobody else
    #[arg(long, env, default_value = "")]
    pub gateway_trusted_proxies: TrustedProxies,
    /// The header that these proxies write; where that is not said, a client's other one makes that neither is believed, and the client is taken to be the proxy
    #[arg(long, env, value_enum, default_value_t = ForwardedHeader::Either)]
    pub gateway_forwarded_header: ForwardedHeader,
    /// Those of the proxies that end TLS before the gateway; what they say of it (X-Forwarded-Proto, Client-Cert and Client-Cert-Chain) is believed, and they are trusted proxies too
    #[arg(long, env, default_value = "")]
    pub gateway_tls_terminators: TrustedProxies,
    /// Whose traces are gone on with (traceparent and tracestate); whether one is recorded is up to a trusted proxy, and to nobody else
    #[arg(long, env, value_enum, default_value_t = TraceParents::Anyone)]
    pub gateway_trace_parents: TraceParents,
    /// Services without which /readyz says 503, by their names in GATEWAY_UPSTREAMS, separated by commas
    #[arg(long, env, default_value = "")]
    pub gateway_ready_needs: ReadyNeeds,
    /// Answer gRPC reflection on the public port: true or false. It tells what /openapi.json tells
    #[arg(long, env, default_value_t = true, action = clap::ArgAction::Set)]
    pub gateway_reflection: bool,
    /// How long to serve on after being told to stop, in seconds, so that load balancers notice
    #[arg(long, env, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=120))]
    pub gateway_shutdown_pause: u64,
    #[command(flatten)]
    pub rate_limit: RateLimitSettings,
}

impl Settings {
    /// # Errors
    /// A file cannot be used, or there are authorities and no TLS, of ours or of a proxy.
    pub(crate) fn public_tls(
        &self,
        stations: StationAuthorities,
        clock: SharedClock,
    ) -> Result<Option<PublicTls>, StartError> {
        let certificates = self.gateway_tls_certificates.clone();
        if !certificates.is_empty() {
            return PublicTls::load(certificates, self.client_ca(), stations, clock).map(Some);
        }
        if self.client_ca().is_some() && self.gateway_tls_terminators.is_empty() {
            let problem = "is set, though neither GATEWAY_TLS_CERTIFICATES nor GATEWAY_TLS_TERMINATORS is";
            return Err(StartError::setting("GATEWAY_TLS_CLIENT_CA", problem));
        }
        Ok(None)
    }

    /// # Errors
    /// The file with authorities cannot be used.
    pub(crate) fn terminators(
        &self,
        stations: StationAuthorities,
        clock: SharedClock,
    ) -> Result<Option<Terminators>, StartError> {
        if self.gateway_tls_terminators.is_empty() {
            return Ok(None);
        }
        let certificates = ClientCertificates::load(self.client_ca(), stations, clock)?;
        let proxies = self.gateway_tls_terminators.clone();
        Ok(Some(Terminators::new(proxies, certificates)))
    }

    /// Every proxy that is believed about its clients' addresses.
    pub(crate) fn trusted_proxies(&self) -> TrustedProxies {
        self.gateway_trusted_proxies.and(&self.gateway_tls_terminators)
    }

    /// # Errors
    /// There is no service of a name.
    pub(crate) fn ready_needs(&self, upstreams: &Upstreams) -> Result<ReadyNeeds, StartError> {
        let needs = &self.gateway_ready_needs;
        if let Some(name) = needs.iter().find(|name| upstreams.get(name).is_none()) {
            let problem = format!("has `{name}`, which is not in GATEWAY_UPSTREAMS");
            return Err(StartError::setting("GATEWAY_READY_NEEDS", problem));
        }
        Ok(needs.clone())
    }

    fn client_ca(&self) -> Option<PathBuf> {
        let client_ca = self.gateway_tls_client_ca.clone();
        client_ca.filter(|path| !path.as_os_str().is_empty())
    }

    pub(crate) fn stall(&self) -> Duration {
        Duration::from_secs(self.gateway_stall_seconds)
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.gateway_request_timeout)
    }

    pub(crate) fn max_calls(&self) -> usize {
        self.gateway_max_calls as usize
    }

    pub(crate) fn ping(&self) -> Duration {
        Duration::from_secs(self.gateway_ping_seconds)
    }

    pub(crate) fn largest_message(&self) -> usize {
        self.gateway_largest_message as usize
    }

    pub(crate) fn resume(&self) -> Duration {
        Duration::from_secs(self.gateway_resume_seconds)
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.gateway_heartbeat_seconds)
    }

    pub(crate) fn shutdown_pause(&self) -> Duration {
        Duration::from_secs(self.gateway_shutdown_pause)
    }
}
