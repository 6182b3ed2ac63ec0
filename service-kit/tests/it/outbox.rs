//! The outbox and its relay, over the bus inside the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use service_kit::backoff::Backoff;
use service_kit::bus::{Bus, HandlerError, LocalBus, Outcome, Publisher, Unavailable};
use service_kit::event::{self, Event};
use service_kit::outbox::{self, EnqueueError, Pace, Relay};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use voltgate_proto::events::v1::PasswordResetRequested;

use crate::rig::{CODE, Outbox, Reader, SUBSCRIPTION, eventually, reset, signed_up};

/// Relays and one subscriber, until dropped.
struct Running {
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
    bus: Bus,
}

impl Running {
    fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            shutdown: CancellationToken::new(),
            bus: Bus::Local(LocalBus::default()),
        }
    }

    fn relay(&mut self, outbox: &Outbox, pace: Pace) {
        let relay = Relay::with_pace(outbox.pool.clone(), self.bus.publisher(), pace);
        self.tasks.spawn(relay.run(self.shutdown.clone()));
    }

    async fn reader(&mut self, reader: &Arc<Reader>) {
        let (bus, reader, shutdown) = (self.bus.clone(), Arc::clone(reader), self.shutdown.clone());
        self.tasks
            .spawn(async move { bus.subscribe(SUBSCRIPTION, reader, shutdown).await });
        tokio::task::yield_now().await;
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(done) = self.tasks.join_next().await {
            done.unwrap();
        }
    }
}

/// A bus that is not there.
#[derive(Default, Clone)]
struct Away(Arc<AtomicUsize>);

impl Away {
    fn asked(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Publisher for Away {
    async fn publish(&mut self, _: &[Event]) -> Result<Vec<Outcome>, Unavailable> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(Unavailable::because("it is away"))
    }
}

fn hurried() -> Pace {
    Pace {
        poll: Duration::from_millis(200),
        row: Backoff {
            first: Duration::from_millis(50),
            longest: Duration::from_millis(200),
        },
        ..Pace::default()
    }
}

#[tokio::test]
async fn an_event_leaves_only_with_the_transaction_that_wrote_it() {
    let outbox = Outbox::create().await;
    let reader = Arc::new(Reader::default());
    let mut running = Running::new();
    running.reader(&reader).await;
    running.relay(&outbox, hurried());

    let mut transaction = outbox.pool.begin().await.unwrap();
    outbox::enqueue(&mut transaction, &signed_up("undone")).await.unwrap();
    transaction.rollback().await.unwrap();
    outbox.write("done").await;

    eventually("the event is sent", || async {
        outbox.count("sent_at IS NOT NULL").await == 1
    })
    .await;
    assert_eq!(reader.seen(), ["done"]);
    running.stop().await;
}

#[tokio::test]
async fn a_relay_finds_an_event_soon_without_any_commit_that_notifies() {
    let outbox = Outbox::create().await;
    let reader = Arc::new(Reader::default());
    let schema: String = sqlx::query_scalar("SELECT current_schema()::text")
        .fetch_one(&outbox.pool)
        .await
        .unwrap();
    let mut listener = sqlx::postgres::PgListener::connect_with(&outbox.pool).await.unwrap();
    listener.listen(&format!("outbox_{schema}")).await.unwrap();
    let mut running = Running::new();
    running.reader(&reader).await;
    running.relay(&outbox, Pace::default());
    outbox.write("first").await;
    eventually("the first is sent", || async { reader.seen().len() == 1 }).await;
    // By now the relay has nothing to do.
    let written = tokio::time::Instant::now();
    outbox.write("second").await;
    eventually("the second is sent", || async { reader.seen().len() == 2 }).await;
    assert!(
        written.elapsed() < Duration::from_secs(2),
        "after {:?}",
        written.elapsed()
    );
    let heard = tokio::time::timeout(Duration::from_millis(100), listener.recv()).await;
    assert!(heard.is_err(), "{heard:?}");
    running.stop().await;
}

#[tokio::test]
async fn two_relays_publish_every_event_once() {
    const EVENTS: usize = 400;
    let outbox = Outbox::create().await;
    let reader = Arc::new(Reader::default());
    for number in 0..EVENTS {
        outbox.write(&number.to_string()).await;
    }
    let mut running = Running::new();
    running.reader(&reader).await;
    for _ in 0..2 {
        running.relay(&outbox, Pace { batch: 7, ..hurried() });
    }
    eventually("all are sent", || async { outbox.count("sent_at IS NULL").await == 0 }).await;
    let mut seen = reader.seen();
    assert_eq!(seen.len(), EVENTS);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), EVENTS);
    running.stop().await;
}

#[tokio::test]
async fn one_relay_publishes_in_the_order_of_writing() {
    let outbox = Outbox::create().await;
    let reader = Arc::new(Reader::default());
    let names: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    for name in &names {
        outbox.write(name).await;
    }
    let mut running = Running::new();
    running.reader(&reader).await;
    running.relay(&outbox, Pace { batch: 8, ..hurried() });
    eventually("all are sent", || async { reader.seen().len() == names.len() }).await;
    assert_eq!(reader.seen(), names);
    running.stop().await;
}

#[tokio::test]
async fn events_go_out_in_the_order_of_writing_and_not_in_that_of_their_transactions() {
    let outbox = Outbox::create().await;
    let reader = Arc::new(Reader::default());
    let mut begun_before = outbox.pool.begin().await.unwrap();
    outbox.write("first").await;
    outbox::enqueue(&mut begun_before, &signed_up("second")).await.unwrap();
    begun_before.commit().await.unwrap();
    let mut running = Running::new();
    running.reader(&reader).await;
    running.relay(&outbox, Pace { batch: 1, ..hurried() });
    eventually("both are sent", || async { reader.seen().len() == 2 }).await;
    assert_eq!(reader.seen(), ["first", "second"]);
    running.stop().await;
}

#[tokio::test]
async fn a_new_event_goes_out_before_one_that_is_tried_again() {
    let outbox = Outbox::create().await;
    let reader = Arc::new(Reader::default());
    outbox.write("tried").await;
    sqlx::query("UPDATE outbox SET attempts = 1, next_attempt_at = now() - interval '1 minute'")
        .execute(&outbox.pool)
        .await
        .unwrap();
    outbox.write("new").await;
    let mut running = Running::new();
    running.reader(&reader).await;
    running.relay(&outbox, Pace { batch: 1, ..hurried() });
    eventually("both are sent", || async { reader.seen().len() == 2 }).await;
    assert_eq!(reader.seen(), ["new", "tried"]);
    running.stop().await;
}

#[tokio::test]
async fn an_event_given_back_untried_goes_out_before_those_written_later() {
    let outbox = Outbox::create().await;
    outbox.write("early").await;
    let mut running = Running::new();
    let away = Away::default();
    let relay = Relay::with_pace(outbox.pool.clone(), Box::new(away.clone()), hurried());
    let stop = CancellationToken::new();
    let trying = tokio::spawn(relay.run(stop.clone()));
    eventually("it was tried", || async { away.asked() > 0 }).await;
    // A relay that is told to stop settles first what it has.
    stop.cancel();
    trying.await.unwrap();
    assert_eq!(outbox.count("claim IS NULL AND attempts = 0").await, 1);
    outbox.write("late").await;
    let reader = Arc::new(Reader::default());
    running.reader(&reader).await;
    running.relay(&outbox, Pace { batch: 1, ..hurried() });
    eventually("both are sent", || async { reader.seen().len() == 2 }).await;
    assert_eq!(reader.seen(), ["early", "late"]);
    running.stop().await;
}

#[tokio::test]
async fn an_event_nobody_takes_yet_waits_for_its_subscriber() {
    let outbox = Outbox::create().await;
    let reader = Arc::new(Reader::default());
    let mut running = Running::new();
    running.relay(&outbox, hurried());
    outbox.write("early").await;
    eventually("it has been tried", || async {
        outbox.count("attempts > 1").await == 1
    })
    .await;
    assert_eq!(outbox.count("last_error LIKE 'nobody here takes%'").await, 1);
    running.reader(&reader).await;
    eventually("it is sent", || async {
        outbox.count("sent_at IS NOT NULL").await == 1
    })
    .await;
    assert_eq!(reader.seen(), ["early"]);
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_is_rejected_is_set_aside_and_the_rest_goes_on() {
    let outbox = Outbox::create().await;
    let reader = Reader::answering([Err(HandlerError::Reject("nonsense".to_owned()))]);
    outbox.write("bad").await;
    outbox.write("good").await;
    let mut running = Running::new();
    running.reader(&reader).await;
    running.relay(&outbox, hurried());
    eventually("the good one is sent", || async {
        outbox.count("sent_at IS NOT NULL").await == 1
    })
    .await;
    assert_eq!(
        outbox
            .count("dead_at IS NOT NULL AND last_error = 'email-service.events: nonsense'")
            .await,
        1
    );
    assert_eq!(reader.seen(), ["bad", "good"]);
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_no_one_has_taken_for_too_long_is_given_up() {
    let outbox = Outbox::create().await;
    outbox.write("old").await;
    let mut running = Running::new();
    running.relay(
        &outbox,
        Pace {
            give_up_after: Duration::from_millis(300),
            ..hurried()
        },
    );
    eventually("it is dead", || async {
        outbox.count("dead_at IS NOT NULL").await == 1
    })
    .await;
    assert_eq!(outbox.count("last_error LIKE 'given up: nobody here takes%'").await, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_row_whose_relay_died_is_published_when_its_lease_is_over() {
    let outbox = Outbox::create().await;
    outbox.write("orphan").await;
    sqlx::query("UPDATE outbox SET claim = gen_random_uuid(), next_attempt_at = now() + interval '1 second'")
        .execute(&outbox.pool)
        .await
        .unwrap();
    let reader = Arc::new(Reader::default());
    let mut running = Running::new();
    running.reader(&reader).await;
    running.relay(&outbox, hurried());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(reader.seen().is_empty(), "the lease is respected");
    eventually("it is sent", || async {
        outbox.count("sent_at IS NOT NULL").await == 1
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn sent_rows_are_deleted_after_their_retention_and_dead_ones_wait_for_somebody_to_decide() {
    let outbox = Outbox::create().await;
    for name in ["old", "new", "long dead"] {
        outbox.write(name).await;
    }
    for statement in [
        "UPDATE outbox SET sent_at = now() - interval '8 days' WHERE position = 1",
        "UPDATE outbox SET sent_at = now() WHERE position = 2",
        "UPDATE outbox SET dead_at = now() - interval '900 days', created_at = now() - interval '907 days',
             attempts = 40, next_attempt_at = now() - interval '900 days'
         WHERE position = 3",
    ] {
        sqlx::query(statement).execute(&outbox.pool).await.unwrap();
    }
    let reader = Arc::new(Reader::default());
    let mut running = Running::new();
    running.reader(&reader).await;
    running.relay(&outbox, hurried());
    eventually("the old one is gone", || async {
        outbox.count("position = 1").await == 0
    })
    .await;
    outbox.write("after").await;
    eventually("the relay has looked again", || async {
        outbox.count("position = 4 AND sent_at IS NOT NULL").await == 1
    })
    .await;
    assert_eq!(outbox.count("dead_at IS NOT NULL").await, 1);

    // As docs/operating.md has it.
    sqlx::query("UPDATE outbox SET dead_at = NULL, next_attempt_at = now() WHERE dead_at IS NOT NULL")
        .execute(&outbox.pool)
        .await
        .unwrap();
    eventually("it is sent", || async {
        outbox.count("position = 3 AND sent_at IS NOT NULL").await == 1
    })
    .await;
    assert!(reader.seen().contains(&"long dead".to_owned()));
    running.stop().await;
}

/// The rows whose data holds the code.
async fn rows_with_the_code(outbox: &Outbox) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outbox WHERE position(convert_to($1, 'UTF8') IN data) > 0")
        .bind(CODE)
        .fetch_one(&outbox.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_event_that_expires_leaves_its_code_behind_when_it_is_sent() {
    let outbox = Outbox::create().await;
    let reader = Arc::new(Reader::default());
    outbox.write_event(&reset("mara", TimeDelta::minutes(10))).await;
    outbox.write("lasting").await;
    assert_eq!(rows_with_the_code(&outbox).await, 1);
    let mut running = Running::new();
    running.reader(&reader).await;
    running.relay(&outbox, hurried());
    eventually("both are sent", || async {
        outbox.count("sent_at IS NOT NULL").await == 2
    })
    .await;
    assert_eq!(reader.seen(), ["mara", "lasting"]);
    assert_eq!(rows_with_the_code(&outbox).await, 0);
    assert_eq!(outbox.count("expires_at IS NULL AND data <> ''").await, 1);
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_expired_is_neither_published_nor_kept() {
    let outbox = Outbox::create().await;
    outbox.write_event(&reset("waiting", TimeDelta::seconds(2))).await;
    outbox.write_event(&reset("dead", TimeDelta::seconds(2))).await;
    outbox.write_event(&reset("too late", TimeDelta::seconds(-1))).await;
    sqlx::query("UPDATE outbox SET dead_at = now() WHERE position = 2")
        .execute(&outbox.pool)
        .await
        .unwrap();
    let mut running = Running::new();
    running.relay(
        &outbox,
        Pace {
            housekeeping: Duration::from_millis(200),
            ..hurried()
        },
    );
    eventually("they are gone", || async { outbox.count("true").await == 0 }).await;

    let reader = Arc::new(Reader::default());
    running.reader(&reader).await;
    outbox.write("after").await;
    eventually("the next one is sent", || async { !reader.seen().is_empty() }).await;
    assert_eq!(reader.seen(), ["after"]);
    running.stop().await;
}

#[tokio::test]
async fn an_expired_event_is_not_published_before_it_is_deleted_either() {
    let outbox = Outbox::create().await;
    let reader = Arc::new(Reader::default());
    let mut running = Running::new();
    running.reader(&reader).await;
    running.relay(
        &outbox,
        Pace {
            housekeeping: Duration::from_secs(3600),
            ..hurried()
        },
    );
    outbox.write("before").await;
    eventually("the relay is at work", || async { reader.seen().len() == 1 }).await;
    outbox.write_event(&reset("too late", TimeDelta::seconds(-1))).await;
    outbox.write("after").await;
    eventually("the next one is sent", || async { reader.seen().len() == 2 }).await;
    assert_eq!(reader.seen(), ["before", "after"]);
    assert_eq!(outbox.count("sent_at IS NULL").await, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_code_that_never_expires_is_not_written() {
    let outbox = Outbox::create().await;
    let event = event::new("test", DateTime::UNIX_EPOCH, &PasswordResetRequested::default());
    let mut transaction = outbox.pool.begin().await.unwrap();
    let error = outbox::enqueue(&mut transaction, &event).await.unwrap_err();
    assert!(matches!(error, EnqueueError::NeverExpires(_)), "{error}");
}
