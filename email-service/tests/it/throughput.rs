//! How many events go through outbox, RabbitMQ and inbox in a second, and how late the latest of a hundred are. A measurement, run by
//! hand: it tells about a machine, not about the code.

use std::time::{Duration, Instant};

use prost::Message as _;
use service_kit::event::Event;
use sqlx::PgPool;
use testbed::Broker;

use crate::rig::{Rig, eventually, rabbitmq, signed_up};

/// Written by one statement.
async fn write(database: &PgPool, events: &[Event]) {
    let mut transaction = database.begin().await.unwrap();
    service_kit::outbox::enqueue_all(&mut transaction, events)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

/// Without an address, so that the inbox is all that is measured.
fn events(count: usize) -> Vec<Event> {
    (0..count)
        .map(|number| signed_up(&format!("driver{number}"), None))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn events_a_second_and_the_delay_at_p99() {
    const MANY: usize = 20_000;
    let (broker, mut rig) = (Broker::create().await, Rig::new().await);
    let bus = rabbitmq(broker.url());
    rig.start_email(&bus).await;
    for batch in events(MANY).chunks(1000) {
        write(&rig.database, batch).await;
    }
    let size = events(1)[0].encoded_len();
    let begun = Instant::now();
    rig.start_relay(&bus);
    eventually("all are taken in", || async {
        rig.number("SELECT count(*) FROM email.inbox").await == MANY as i64
    })
    .await;
    let took = begun.elapsed();
    eprintln!(
        "{MANY} events of {size} bytes in {took:.1?}: {:.0} a second",
        MANY as f64 / took.as_secs_f64()
    );

    // One after the other, a hundred a second.
    const SOME: usize = 2000;
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for number in 0..SOME {
        ticks.tick().await;
        write(&rig.database, &[signed_up(&format!("late{number}"), None)]).await;
    }
    eventually("all are taken in", || async {
        rig.number("SELECT count(*) FROM email.inbox").await == (MANY + SOME) as i64
    })
    .await;
    let delays: (f64, f64, f64) = sqlx::query_as(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY delay), percentile_cont(0.99) WITHIN GROUP (ORDER BY delay), max(delay)
         FROM (
             SELECT extract(epoch FROM received_at - time)::float8 * 1000 AS delay
             FROM email.inbox ORDER BY received_at DESC LIMIT $1) AS delays",
    )
    .bind(SOME as i64)
    .fetch_one(&rig.database)
    .await
    .unwrap();
    eprintln!(
        "100 a second: p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms",
        delays.0, delays.1, delays.2
    );
    rig.stop().await;
}
