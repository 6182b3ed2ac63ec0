//! Waiting for what another process will do, with an end.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longer than anything takes on a busy machine, leases of a killed process included.
pub const LONGEST: Duration = Duration::from_secs(90);

/// Asks again and again until there is an answer.
///
/// # Panics
/// There is none after [`LONGEST`].
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < LONGEST, "waited {LONGEST:?} in vain until {what}");
        sleep(Duration::from_millis(100)).await;
    }
}
