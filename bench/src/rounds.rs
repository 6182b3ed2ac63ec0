//! Everybody takes turns: one round after the other, in each every route, and for each route every candidate once with closed
//! and once with open loop.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::HeaderValue;
use serde::Serialize;

use crate::candidate::{Candidate, Candidates, Kind};
use crate::load::{self, Outcome, Target};
use crate::process::{Memory, Process};
use crate::progress::Progress;
use crate::route::Route;
use crate::settings::Settings;
use crate::upstream::Upstream;

/// With open loop and without a rate, where the gateway is not measured.
const RATE_WITHOUT_GATEWAY: u32 = 1000;

/// How requests come.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loop {
    Closed,
    Open,
}

/// One measurement.
#[derive(Debug, Serialize)]
pub struct Sample {
    pub route: &'static str,
    pub candidate: Kind,
    #[serde(rename = "loop")]
    pub how: Loop,
    /// Requests a second that were to come; with open loop only.
    pub rate: Option<u32>,
    /// Requests a second that were answered.
    pub answered_per_second: f64,
    /// Of the proxy's process, for a request, in microseconds; none where there is no proxy.
    pub processor_microseconds: Option<f64>,
    /// In microseconds.
    pub p50: f64,
    pub p99: f64,
    pub memory: Option<Memory>,
}

/// # Errors
/// A candidate fails a request or falls hopelessly behind, or the service has ended.
pub async fn run(
    settings: &Settings,
    candidates: &Candidates,
    routes: &[Route],
    tokens: &[HeaderValue],
    upstream: &Upstream,
) -> Result<Vec<Sample>> {
    let each = candidates.iter().count();
    let mut progress = Progress::new(routes.len() + routes.len() * each * settings.rounds as usize * 2);
    let bench = Bench {
        settings,
        tokens,
        upstream,
    };
    let mut rates = Vec::new();
    for route in routes {
        progress.step("how much the gateway can do");
        rates.push(bench.rate(candidates, route).await?);
    }
    let mut samples = Vec::new();
    for _ in 0..settings.rounds {
        for (route, &rate) in routes.iter().zip(&rates) {
            for how in [Loop::Closed, Loop::Open] {
                for candidate in candidates.iter() {
                    progress.step(&format!("{}: {}", route.name, candidate.kind.name()));
                    let sample = bench.measure(candidate, route, how, rate).await;
                    samples.push(sample.with_context(|| format!("{}: {}", route.name, candidate.kind.name()))?);
                }
            }
        }
    }
    Ok(samples)
}

struct Bench<'s> {
    settings: &'s Settings,
    tokens: &'s [HeaderValue],
    upstream: &'s Upstream,
}

impl Bench<'_> {
    /// Half of what the gateway can do, where nobody said another rate.
    async fn rate(&self, candidates: &Candidates, route: &Route) -> Result<u32> {
        match (self.settings.rate, candidates.gateway()) {
            (Some(rate), _) => Ok(rate),
            (None, None) => Ok(RATE_WITHOUT_GATEWAY),
            (None, Some(gateway)) => {
                let sample = self.measure(gateway, route, Loop::Closed, 0).await?;
                Ok((sample.answered_per_second / 2.0).max(1.0) as u32)
            }
        }
    }

    async fn measure(&self, candidate: &Candidate, route: &Route, how: Loop, rate: u32) -> Result<Sample> {
        let target = Target {
            protocol: candidate.kind.protocol(),
            address: candidate.address,
            route,
            tokens: self.tokens,
            connections: self.settings.connections,
        };
        let connections = target.connect().await?;
        let process = candidate.process.as_ref();
        let before = process.map(Process::processor_time).transpose()?;
        let outcome = match how {
            Loop::Closed => load::closed(connections, self.settings.duration()).await?,
            Loop::Open => load::open(connections, rate, self.settings.duration()).await?,
        };
        let spent = process
            .zip(before)
            .map(|(process, before)| process.processor_time_since(before));
        let spent = spent.transpose()?;
        self.upstream.check()?;
        ensure!(outcome.failed == 0, "{} requests failed", outcome.failed);
        Ok(Sample {
            route: route.name,
            candidate: candidate.kind,
            how,
            rate: (how == Loop::Open).then_some(rate),
            answered_per_second: outcome.answered() as f64 / outcome.elapsed.as_secs_f64(),
            processor_microseconds: spent.map(|spent| microseconds(spent) / outcome.answered() as f64),
            p50: quantile(&outcome, 0.5),
            p99: quantile(&outcome, 0.99),
            memory: process.map(Process::memory).transpose()?,
        })
    }
}

fn quantile(outcome: &Outcome, quantile: f64) -> f64 {
    microseconds(Duration::from_nanos(outcome.latencies.value_at_quantile(quantile)))
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
