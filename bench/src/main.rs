//! Measures the gateway beside other proxies: same machine, same run, same routes, same payload.
//!
//! What counts is the processor time that a proxy needs for a request: where load, proxy and service share few cores, a rate
//! says more about the neighbours. Rounds are interleaved, so that a noisy minute is everybody's; figures are medians.

mod candidate;
mod credentials;
mod load;
mod process;
mod progress;
mod report;
mod rounds;
mod route;
mod settings;
mod upstream;

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use candidate::Candidates;
use credentials::Credentials;
use report::Report;
use route::Route;
use settings::Settings;
use upstream::Upstream;

// One thread for the load, as for each proxy and for the service.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    let credentials = Credentials::new(settings.callers)?;
    let routes = Route::all()?;
    let upstream = Upstream::start(credentials.key_set())?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;

    let candidates = Candidates::start(&settings, upstream.address(), folder.path()).await?;
    let tokens = credentials.tokens();
    candidates.agree(&routes, tokens, &upstream).await?;
    let samples = rounds::run(&settings, &candidates, &routes, tokens, &upstream).await?;

    let report = Report::new(&candidates, samples);
    if let Some(path) = &settings.json {
        let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::to_writer_pretty(file, &report)?;
    }
    std::io::stdout().write_all(report.markdown().as_bytes())?;
    Ok(())
}
