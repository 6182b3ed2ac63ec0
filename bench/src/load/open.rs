//! Requests arrive by the clock. One that finds every connection busy waits for its turn, and that wait counts: the time
//! of an answer is from when its request was due, not from when it could be sent, so a proxy that stalls cannot hide it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Outcome;
use super::connection::{Connection, Requests};
use super::ticks::Ticks;

/// How much longer than planned it may take until the last answer is there.
const GRACE: Duration = Duration::from_secs(10);

/// Has so many requests a second arrive, for as long as that.
///
/// # Errors
/// The load itself went wrong, or the other side is hopelessly behind.
pub async fn open(connections: Vec<(Connection, Requests)>, rate: u32, duration: Duration) -> Result<Outcome> {
    let interval = Duration::from_secs(1) / rate;
    let planned = u64::try_from(duration.as_nanos() / interval.as_nanos())?;
    let due = Arc::new(Semaphore::new(0));
    let next = Arc::new(AtomicU64::new(0));
    let everybody = connections.len();
    let (mut ticks, began) = Ticks::every(interval)?;
    let mut asking = JoinSet::new();
    for (mut connection, mut requests) in connections {
        let (due, next) = (Arc::clone(&due), Arc::clone(&next));
        asking.spawn(async move {
            let mut outcome = Outcome::new()?;
            loop {
                due.acquire().await?.forget();
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= planned {
                    return anyhow::Ok(outcome);
                }
                let arrived = began + interval * u32::try_from(number + 1)?;
                let answer = connection.ask(requests.next()).await;
                outcome.record(&answer, arrived.elapsed());
                if answer.is_err() {
                    return Ok(outcome);
                }
            }
        });
    }
    let mut arrived = 0;
    while arrived < planned {
        let more = ticks.wait().await?.min(planned - arrived);
        due.add_permits(usize::try_from(more)?);
        arrived += more;
    }
    // Word for each that there is no more.
    due.add_permits(everybody);
    let mut whole = Outcome::new()?;
    let answers = async {
        while let Some(outcome) = asking.join_next().await {
            whole.add(&outcome??)?;
        }
        anyhow::Ok(())
    };
    timeout(GRACE, answers)
        .await
        .context("it cannot keep up with the rate")??;
    whole.elapsed = began.elapsed();
    // Requests of connections that were given up.
    whole.failed = whole.failed.max(planned - whole.answered());
    Ok(whole)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use http::HeaderValue;

    use super::*;
    use crate::load::Protocol;
    use crate::route::Route;

    const STALL: Duration = Duration::from_millis(400);

    /// Answers one connection, and takes its time over the first answer.
    fn slow_at_first() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let ends = lines.map_while(Result::ok).filter(String::is_empty);
            for (index, _) in ends.enumerate() {
                if index == 0 {
                    thread::sleep(STALL);
                }
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    .unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn who_arrives_during_a_stall_has_waited_since_then() {
        let address = slow_at_first();
        let connection = Connection::open(Protocol::Http, address).await.unwrap();
        let token = HeaderValue::from_static("Bearer x");
        let requests = Requests::new(Protocol::Http, address, &Route::all().unwrap()[0], &[token]).unwrap();
        let outcome = open(vec![(connection, requests)], 100, STALL).await.unwrap();
        assert_eq!((outcome.answered(), outcome.failed), (40, 0));
        // Nearly all of them were due while the first was waited for: half of them for the half of it.
        let half = Duration::from_nanos(outcome.latencies.value_at_quantile(0.5));
        assert!(half > STALL / 3, "{half:?}");
    }
}
