//! Makes a fleet known.

use anyhow::Result;
use simulator::registration::{charge_points, id_tokens};

use crate::operator::Operator;

/// What their identities begin with, and their password.
pub const PREFIX: &str = "SIM-";
pub const PASSWORD: &str = "a-simulated-password";

/// A file may have so many rows.
const MOST_ROWS: usize = 10_000;

/// Registers charge points and id tokens.
///
/// # Errors
/// They are not taken.
pub async fn register(gateway: &str, stations: usize) -> Result<()> {
    let operator = Operator::log_in(gateway).await?;
    for first in (0..stations).step_by(MOST_ROWS) {
        let numbers = first..stations.min(first + MOST_ROWS);
        let charge_points = charge_points(PREFIX, numbers.clone(), Some(PASSWORD));
        operator.import("charge-points", charge_points).await?;
        operator.import("id-tokens", id_tokens(PREFIX, numbers)).await?;
    }
    Ok(())
}
