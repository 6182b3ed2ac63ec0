//! What a service does of its own accord, at intervals.

use std::error::Error;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// Does `task` at once and then every `period`, until it is dropped. One that fails is logged, and tried again at its next
/// turn. `what` completes the sentence "failed while …".
pub async fn every<Task, E>(period: Duration, what: &str, mut task: impl FnMut() -> Task)
where
    Task: Future<Output = Result<(), E>>,
    E: Error + 'static,
{
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = task().await {
            tracing::error!(
                error = &error as &dyn Error,
                what,
                "A task of the house failed; it is tried again at its next turn"
            );
        }
    }
}
