//! Each connection asks again as soon as it is answered.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::Outcome;
use super::connection::{Connection, Requests};

/// Asks on all connections for as long as that.
///
/// # Errors
/// The load itself went wrong; what goes wrong at the other side is counted.
pub async fn closed(connections: Vec<(Connection, Requests)>, duration: Duration) -> Result<Outcome> {
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for (mut connection, mut requests) in connections {
        asking.spawn(async move {
            let mut outcome = Outcome::new()?;
            loop {
                let asked = Instant::now();
                let answer = connection.ask(requests.next()).await;
                outcome.record(&answer, asked.elapsed());
                if answer.is_err() || began.elapsed() >= duration {
                    return anyhow::Ok(outcome);
                }
            }
        });
    }
    let mut whole = Outcome::new()?;
    while let Some(outcome) = asking.join_next().await {
        whole.add(&outcome??)?;
    }
    whole.elapsed = began.elapsed();
    Ok(whole)
}
