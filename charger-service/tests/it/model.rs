//! Whatever becomes of connections, answers and processes: no watt-hour is lost, no transaction doubled, and every stop is
//! accounted for.
//!
//! A charge point keeps what it has to tell in a queue, and sends the first of it until it is answered, as the
//! specification asks (4.2.1 and 3.7). Around it connections come and go at two replicas, answers get lost, messages come twice, too early,
//! without a socket and on sockets that have a successor, clocks jump, the charge point is kept waiting and accepted again, and
//! processes are killed. Another authority is asked about each tag. Meanwhile it is sent commands, of which it answers some. In the end the queue is drained, and the
//! database is held against what happened at the connectors, and against what the charge point was asked.
//!
//! `MODEL_CASES` is how many charge points live through that, `MODEL_SEED` makes them do the same again, and
//! `MODEL_KILLS` how often, in ten thousand steps, a process dies. A case that fails names its seed.

// A run of hours says how far it is, and what to set to have it again.
#![allow(clippy::print_stdout)]

mod charge_point;
mod fleet;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use testbed::Database;

use self::charge_point::Life;
use self::fleet::Fleet;

/// Charge points that live at the same time.
const AT_ONCE: u64 = 8;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_watt_hour_is_lost_and_no_transaction_doubled_whatever_becomes_of_connections_and_processes() {
    let cases = from_environment("MODEL_CASES", 200);
    let first = from_environment("MODEL_SEED", rand::random::<u32>().into());
    let kills = from_environment("MODEL_KILLS", 8);
    println!("MODEL_SEED={first} MODEL_CASES={cases} MODEL_KILLS={kills}");
    let database = Database::create().await;
    let fleet = Arc::new(Fleet::start(&database, kills).await);
    let next = Arc::new(AtomicU64::new(0));
    let lives = (0..AT_ONCE).map(|_| {
        let (fleet, next) = (Arc::clone(&fleet), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let case = next.fetch_add(1, Ordering::Relaxed);
                if case >= cases {
                    return;
                }
                let mut life = Life::begin(&fleet, first + case).await;
                life.live(&fleet).await;
                life.tell_everything(&fleet).await;
                life.compare(&fleet).await;
                if case % 500 == 499 {
                    println!("{} cases", case + 1);
                }
            }
        })
    });
    for life in lives.collect::<Vec<_>>() {
        life.await.unwrap();
    }
    // Or nothing of what it says about them has been looked at.
    let (accepted, asked) = (fleet.accepted_commands().await, fleet.authority.seen().len());
    println!("{accepted} commands were accepted, and the authority was asked {asked} times");
    assert!(accepted > 0 && asked > 0, "{accepted} commands, {asked} questions");
}
