//! How far a run is, on a terminal. Elsewhere nobody watches.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::fleet::Fleet;

const OFTEN: Duration = Duration::from_millis(250);

const WIDTH: usize = 30;

/// Shows it for as long as it is asked to go on, one line that is written over and over.
pub async fn show(fleet: &Fleet) {
    if !stderr().is_terminal() {
        return std::future::pending().await;
    }
    let _clear = Clear;
    let stations = fleet.orders().stations;
    let length = fleet.orders().warm_up + fleet.orders().length;
    let mut ticks = interval(OFTEN);
    let mut before = fleet.statistics().glance();
    let mut began = None;
    loop {
        ticks.tick().await;
        let now = fleet.statistics().glance();
        // Those that have given up are not waited for.
        let (online, given_up) = fleet.statistics().arrived();
        let line = if began.is_none() && online + given_up < stations {
            let done = now.online as f64 / stations as f64;
            format!("{} {} of {stations} connected", bar(done), now.online)
        } else {
            let began = *began.get_or_insert_with(Instant::now);
            let per_second = (now.answered - before.answered) as f64 / OFTEN.as_secs_f64();
            format!(
                "{} {} of {} s, {per_second:.0} messages a second",
                bar(began.elapsed().as_secs_f64() / length.as_secs_f64()),
                began.elapsed().as_secs(),
                length.as_secs()
            )
        };
        before = now;
        // A line that cannot be shown is no reason to stop.
        let _ = write!(stderr(), "\r\x1b[K{line}, {} errors", now.errors);
    }
}

struct Clear;

impl Drop for Clear {
    fn drop(&mut self) {
        let _ = write!(stderr(), "\r\x1b[K");
    }
}

fn bar(done: f64) -> String {
    // Between 0 and the width.
    let full = (done.clamp(0.0, 1.0) * WIDTH as f64) as usize;
    format!("[{}{}]", "#".repeat(full), "-".repeat(WIDTH - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_at_the_end_and_stays_so() {
        assert_eq!(bar(0.0), format!("[{}]", "-".repeat(30)));
        assert_eq!(bar(0.5), format!("[{}{}]", "#".repeat(15), "-".repeat(15)));
        assert_eq!(bar(7.0), format!("[{}]", "#".repeat(30)));
    }
}
