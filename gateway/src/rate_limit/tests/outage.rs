//! What becomes of requests when Redis goes, comes back, or is there and counts nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use testbed::Proxy;
use tokio::time::{Instant, sleep, timeout};

use super::fake_redis::{COUNTED, FakeRedis, OK};
use super::{NOWHERE, counts, policies, settings};
use crate::rate_limit::redis::Redis;
use crate::rate_limit::shared::Outage;
use crate::rate_limit::{Class, Counter, Limits, Who};

const PATIENCE: Duration = Duration::from_secs(15);

/// Waits for what comes within seconds.
async fn until(is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it to come");
}

fn is_connected(limits: &Limits) -> bool {
    let Counter::Shared(shared) = &limits.counter else {
        panic!("there is a Redis")
    };
    shared.redis.is_connected()
}

/// Limits with their task.
async fn followed(url: &str, outage: Outage) -> Arc<Limits> {
    let limits = Arc::new(Limits::new(&settings(url, outage)).unwrap());
    limits.connect().await;
    let following = Arc::clone(&limits);
    tokio::spawn(async move { following.follow().await });
    limits
}

fn redis_address() -> SocketAddr {
    let url = testbed::redis_url();
    url.trim_start_matches("redis://")
        .trim_end_matches('/')
        .parse()
        .unwrap()
}

/// An address that nobody else has who counts at the same Redis.
fn own_address() -> IpAddr {
    std::net::Ipv6Addr::from_bits(rand::random::<u128>() >> 8 | 0xfc << 120).into()
}

#[tokio::test]
async fn without_redis_the_setting_says_who_gets_in() {
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    for (outage, expected) in [(Outage::Memory, 3), (Outage::Open, 10), (Outage::Closed, 0)] {
        let limits = followed(NOWHERE, outage).await;
        let started = Instant::now();
        let mut let_in = 0;
        for _ in 0..10 {
            match limits.count(Class::Read, Who::Stranger, address).await {
                Ok(_) => let_in += 1,
                Err(status) => {
                    let reason = service_kit::reason::Reason::of(&status).as_str();
                    let expected = if outage == Outage::Closed {
                        "UNAVAILABLE"
                    } else {
                        "TOO_MANY_REQUESTS"
                    };
                    assert_eq!(reason, expected);
                }
            }
        }
        assert_eq!(let_in, expected, "{outage:?}");
        assert!(
            started.elapsed() < Duration::from_millis(500),
            "{outage:?}: nobody waits for it"
        );
        assert!(!is_connected(&limits));
    }
}

#[tokio::test]
async fn before_anybody_asks_it_is_known_whether_redis_is_there() {
    let there = followed(&testbed::redis_url(), Outage::Memory).await;
    assert!(is_connected(&there));
    let nowhere = followed(NOWHERE, Outage::Memory).await;
    assert!(!is_connected(&nowhere));
}

#[tokio::test]
async fn whoever_is_refused_from_memory_says_nothing_of_whether_redis_is_there() {
    let proxy = Proxy::start(redis_address()).await;
    let limits = followed(&format!("redis://{}", proxy.address()), Outage::Memory).await;
    let full = own_address();
    let ask = async |address| limits.count(Class::Read, Who::Stranger, address).await.is_ok();
    until(async || !ask(full).await).await;
    assert!(is_connected(&limits));
    proxy.refuse().await;
    proxy.cut().await;
    for _ in 0..50 {
        // What was full stays full, and who is new is counted here.
        assert!(!ask(full).await);
        assert!(ask(own_address()).await);
        sleep(Duration::from_millis(5)).await;
    }
    assert!(!is_connected(&limits), "a refusal from memory passed for an answer");
    proxy.resume().await;
    until(async || is_connected(&limits)).await;
}

#[tokio::test]
async fn a_redis_that_refuses_to_log_in_for_a_while_is_connected_to_afterwards() {
    let redis = FakeRedis::start(|connection, command| match command {
        "AUTH" if connection <= 2 => "-WRONGPASS invalid username-password pair\r\n",
        "EVALSHA" => COUNTED,
        _ => OK,
    })
    .await;
    let limits = followed(&format!("redis://:secret@{}", redis.address), Outage::Closed).await;
    assert!(!is_connected(&limits));
    let ask = async || limits.count(Class::Read, Who::Stranger, own_address()).await.is_ok();
    assert!(!ask().await);
    until(ask).await;
    assert!(is_connected(&limits));
    assert_eq!(redis.connections(), 3);
}

#[tokio::test]
async fn a_redis_that_became_a_replica_is_left_for_the_one_that_took_its_place() {
    let written = Arc::new(AtomicU32::new(0));
    let writing = Arc::clone(&written);
    let redis = FakeRedis::start(move |connection, command| match command {
        // Over the first connection it counts twice, the trial included, and never again. Nor does it over the second.
        "EVALSHA" if connection > 2 || writing.fetch_add(1, Ordering::AcqRel) < 2 => COUNTED,
        "EVALSHA" => "-READONLY You can't write against a read only replica.\r\n",
        _ => OK,
    })
    .await;
    let limits = followed(&format!("redis://{}", redis.address), Outage::Closed).await;
    let ask = async || limits.count(Class::Read, Who::Stranger, own_address()).await.is_ok();
    assert!(ask().await);
    for _ in 0..3 {
        assert!(!ask().await);
    }
    assert!(!is_connected(&limits));
    until(ask).await;
    assert_eq!(redis.connections(), 3);
}

#[tokio::test]
async fn a_redis_that_falls_silent_is_left_alone_and_one_attempt_a_second_seeks_it() {
    let asked = Arc::new(AtomicU32::new(0));
    let asking = Arc::clone(&asked);
    let redis = FakeRedis::start(move |_, command| match command {
        "EVALSHA" => match asking.fetch_add(1, Ordering::AcqRel) {
            0 => COUNTED,
            _ => "",
        },
        _ => OK,
    })
    .await;
    let limits = followed(&format!("redis://{}", redis.address), Outage::Open).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        assert!(limits.count(Class::Read, Who::Stranger, own_address()).await.is_ok());
        sleep(Duration::from_millis(2)).await;
    }
    // The trial and the three that waited in vain; then a trial for each connection.
    let asked = asked.load(Ordering::Acquire);
    assert!((5..=7).contains(&asked), "{asked}");
    assert!(redis.connections() >= 2);
}

#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_told_again() {
    let redis = Redis::new(&testbed::redis_url(), Duration::from_secs(5)).unwrap();
    redis.connect().await;
    let policies = policies("account=5/1h");
    let counts = counts(&policies, rand::random(), 0);
    assert!(redis.count(&counts).await.unwrap().is_ok());
    let mut connection = redis::Client::open(testbed::redis_url())
        .unwrap()
        .get_connection()
        .unwrap();
    let () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut connection).unwrap();
    let standing = redis.count(&counts).await.unwrap().unwrap();
    assert_eq!(standing.told(), Some(("read-account", 3)));
}
