//! What is measured: proxies, each with one worker thread, and the service without any.

mod envoy;
mod gateway;
mod nginx;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use http::HeaderValue;
use serde::Serialize;
use serde_json::Value;

use crate::load::{Connection, Protocol, Requests};
use crate::process::Process;
use crate::route::Route;
use crate::settings::Settings;
use crate::upstream::Upstream;

/// In the order in which they take turns.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The service, called over gRPC without a proxy
    Direct,
    /// nginx passes HTTP on
    Nginx,
    /// Envoy passes HTTP on
    Envoy,
    /// Envoy transcodes to gRPC; it checks nobody's access
    EnvoyTranscoder,
    /// The gateway transcodes and checks access, and logs only what goes wrong, as the others here
    Gateway,
    /// The gateway as it is set up by default, with a log line for each request
    GatewayWithLog,
}

impl Kind {
    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "the service, without a proxy (gRPC)",
            Self::Nginx => "nginx, plain HTTP",
            Self::Envoy => "Envoy, plain HTTP",
            Self::EnvoyTranscoder => "Envoy, gRPC-JSON transcoder",
            Self::Gateway => "**Voltgate's gateway**",
            Self::GatewayWithLog => "Voltgate's gateway, a log line for each request",
        }
    }

    pub fn protocol(self) -> Protocol {
        match self {
            Self::Direct => Protocol::Grpc,
            _ => Protocol::Http,
        }
    }

    /// Whether its answers are made of gRPC messages.
    fn transcodes(self) -> bool {
        matches!(self, Self::EnvoyTranscoder | Self::Gateway | Self::GatewayWithLog)
    }
}

/// One of them, running.
#[derive(Debug)]
pub struct Candidate {
    pub kind: Kind,
    pub address: SocketAddr,
    /// None where it is the service itself.
    pub process: Option<Process>,
}

/// All that are measured.
pub struct Candidates(Vec<Candidate>);

impl Candidates {
    /// # Errors
    /// One cannot be started.
    pub async fn start(settings: &Settings, upstream: SocketAddr, folder: &Path) -> Result<Self> {
        let mut started = Vec::new();
        for &kind in Kind::value_variants() {
            if !settings.wants(kind) {
                continue;
            }
            let address = match kind {
                Kind::Direct => upstream,
                _ => free_address()?,
            };
            let process = match kind {
                Kind::Direct => None,
                Kind::Nginx => Some(nginx::start(&settings.nginx, address, upstream, folder).await?),
                Kind::Envoy => Some(envoy::plain(&settings.envoy, address, upstream, folder).await?),
                Kind::EnvoyTranscoder => Some(envoy::transcoder(&settings.envoy, address, upstream, folder).await?),
                Kind::Gateway => Some(gateway::quiet(settings, address, upstream, folder).await?),
                Kind::GatewayWithLog => Some(gateway::with_log(settings, address, upstream, folder).await?),
            };
            started.push(Candidate { kind, address, process });
        }
        Ok(Self(started))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.0.iter()
    }

    /// The gateway that others are compared with.
    pub fn gateway(&self) -> Option<&Candidate> {
        self.0.iter().find(|candidate| candidate.kind == Kind::Gateway)
    }

    /// Has every proxy answer every route once, as it should. Those that transcode must say the same, and those that do not get their
    /// bytes to pass on: so the payload is the same for all.
    ///
    /// # Errors
    /// One does not answer, or says something else.
    pub async fn agree(&self, routes: &[Route], tokens: &[HeaderValue], upstream: &Upstream) -> Result<()> {
        // The last is the gateway, where that is measured.
        let Some(model) = self.0.iter().rfind(|candidate| candidate.kind.transcodes()) else {
            bail!("nobody transcodes: measure the gateway or Envoy's transcoder too");
        };
        for route in routes {
            let said = ask_once(model, route, tokens).await?;
            let meant = read(model.kind, route, &said)?;
            upstream.copy(&route.method, route.path, said);
            for candidate in self.0.iter().filter(|other| other.kind.protocol() == Protocol::Http) {
                let said = ask_once(candidate, route, tokens).await?;
                let means = read(candidate.kind, route, &said)?;
                ensure!(
                    means == meant,
                    "{} answers {} with\n{means}\nand not with\n{meant}",
                    candidate.kind.name(),
                    route.path
                );
            }
        }
        upstream.check()
    }
}

/// What an answer means, where it is one to this route.
fn read(kind: Kind, route: &Route, said: &[u8]) -> Result<Value> {
    let told = || {
        let text = String::from_utf8_lossy(said);
        format!("{} answers {} with\n{text}", kind.name(), route.path)
    };
    let meant = serde_json::from_slice(said)
        .context("which is no JSON")
        .with_context(told)?;
    route.check(&meant).with_context(told)?;
    Ok(meant)
}

async fn ask_once(candidate: &Candidate, route: &Route, tokens: &[HeaderValue]) -> Result<Bytes> {
    let mut requests = Requests::new(candidate.kind.protocol(), candidate.address, route, tokens)?;
    let mut connection = Connection::open(candidate.kind.protocol(), candidate.address).await?;
    let asked = connection.ask(requests.next()).await;
    asked.with_context(|| format!("{} fails at {}", candidate.kind.name(), route.path))
}

/// A port that nobody has just now.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot take a port")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_answer_that_cannot_be_read_is_told_with_who_gave_it() {
        let route = Route::all().unwrap().remove(0);
        for wrong in ["", "<html>", "null", "{}"] {
            let error = format!("{:#}", read(Kind::Nginx, &route, wrong.as_bytes()).unwrap_err());
            assert!(error.contains("nginx") && error.contains(wrong), "{error}");
        }
        let right = r#"{"id":42,"identity":"CP-1","energyWh":8000}"#;
        assert_eq!(read(Kind::Gateway, &route, right.as_bytes()).unwrap()["id"], 42);
    }
}
