//! Counting, by itself and at Redis.
#![allow(clippy::unwrap_used)]

mod fake_redis;
mod history;
mod outage;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, FakeRelativeClock};
use governor::nanos::Nanos;
use service_kit::access::{Caller, Role, Scopes};
use uuid::Uuid;

use super::key::{Key, Subject};
use super::memory::Memory;
use super::policy::{ClassLimits, Policies, Policy, Quota};
use super::redis::Redis;
use super::shared::Outage;
use super::{Class, Counted, Counts, RateLimitSettings};

/// governor's own clock for tests counts from its birth, as ours does.
#[derive(Clone, Default)]
struct Set(FakeRelativeClock);

impl Clock for Set {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.now()
    }
}

fn policies(limits: &str) -> Policies {
    let limits: ClassLimits = limits.parse().unwrap();
    Policies::new(|_| &limits).unwrap()
}

fn counts<'l>(policies: &'l Policies, who: u128, address: u128) -> Counts<'l> {
    let limits = policies.of(Class::Read);
    let counted = |policy: &'l Option<Policy>, id| {
        let policy = policy.as_ref()?;
        let key = Key::new(policy, Subject::id(Uuid::from_u128(id)));
        Some(Counted { policy, key })
    };
    [
        counted(&limits.account, who),
        None,
        counted(&limits.address, address),
        None,
    ]
}

#[test]
fn a_flood_of_addresses_fills_no_memory_and_does_not_free_who_asks_too_often() {
    let clock = Set::default();
    let policies = policies("account=5/1000s,address=12/6000s");
    let memory = Memory::new(&policies, clock).unwrap();
    let often = counts(&policies, 1, 1);
    let mut let_in = 0;
    for flood in 0..300_000_u128 {
        if flood % 100 == 0 {
            let_in += u32::from(memory.count(&often).is_ok());
        }
        assert!(memory.count(&counts(&policies, flood + 2, flood + 2)).is_ok());
    }
    assert_eq!(let_in, 5);
    assert!(memory.len() <= 100_000, "{}", memory.len());
}

/// Ten at once get what ten in turn would, whichever thread they are on.
#[test]
fn of_many_at_once_as_many_get_through_as_may() {
    let clock = Set::default();
    let policies = policies("account=50/1h");
    let memory = Arc::new(Memory::new(&policies, clock).unwrap());
    let let_in: usize = std::thread::scope(|scope| {
        let ask = || {
            (0..100)
                .filter(|_| memory.count(&counts(&policies, 7, 7)).is_ok())
                .count()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(let_in, 50);
}

#[tokio::test]
async fn a_key_that_is_full_is_not_asked_about_again_until_it_is_not() {
    let policies = policies("account=2/2s");
    let redis = Redis::new(&testbed::redis_url(), Duration::from_secs(5)).unwrap();
    redis.connect().await;
    let counts = counts(&policies, rand::random(), 0);
    for _ in 0..2 {
        assert!(redis.count(&counts).await.unwrap().is_ok());
        assert!(redis.remembered(&counts).is_none());
    }
    assert!(redis.count(&counts).await.unwrap().is_err());
    let key = counts[0].unwrap().key.in_redis(counts[0].unwrap().policy);
    let mut connection = redis::Client::open(testbed::redis_url())
        .unwrap()
        .get_connection()
        .unwrap();
    let () = redis::cmd("DEL").arg(&key).query(&mut connection).unwrap();
    assert!(redis.remembered(&counts).is_some());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(redis.remembered(&counts).is_none());
    assert!(redis.count(&counts).await.unwrap().is_ok());
    let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).unwrap();
    assert!(
        (1..=1000).contains(&left),
        "it is forgotten when it says nothing any more: {left}"
    );
}

/// Nothing listens there.
const NOWHERE: &str = "redis://127.0.0.1:9/";

fn settings(url: &str, outage: Outage) -> RateLimitSettings {
    let limits = |text: &str| -> ClassLimits { text.parse().unwrap() };
    let off = limits("off");
    RateLimitSettings {
        gateway_rate_limit: true,
        gateway_rate_limit_read: limits("stranger=3/1h"),
        gateway_rate_limit_write: off.clone(),
        gateway_rate_limit_sign_in: off.clone(),
        gateway_rate_limit_refresh: off.clone(),
        gateway_rate_limit_heavy: off.clone(),
        gateway_rate_limit_stream: off.clone(),
        gateway_rate_limit_device: off.clone(),
        gateway_rate_limit_transfer: off.clone(),
        gateway_rate_limit_frame: off.clone(),
        gateway_rate_limit_credential: off,
        redis_url: Some(url.to_owned()),
        gateway_rate_limit_outage: outage,
        gateway_rate_limit_patience: 100,
    }
}

#[test]
fn a_url_that_is_none_is_told_without_what_it_says() {
    let refused = super::Limits::new(&settings("http://:secret@redis", Outage::Memory)).unwrap_err();
    assert!(refused.to_string().starts_with("REDIS_URL: "), "{refused}");
    assert!(!refused.to_string().contains("secret"));
}

/// Limits of these, for what reads.
fn reading(limits: &str) -> super::Limits {
    let settings = RateLimitSettings {
        gateway_rate_limit_read: limits.parse().unwrap(),
        redis_url: None,
        ..settings(NOWHERE, Outage::Memory)
    };
    super::Limits::new(&settings).unwrap()
}

/// An account, logged in or by one of its keys.
fn caller(account: u128, session: u128, scopes: Option<&str>) -> Caller {
    Caller::Account {
        id: Uuid::from_u128(account),
        roles: [Role::Driver].into_iter().collect(),
        session: Uuid::from_u128(session),
        token_id: Uuid::from_u128(session),
        scopes: scopes.map(Scopes::parse),
        site_groups: None,
    }
}

#[tokio::test]
async fn an_api_key_is_counted_for_itself_and_with_all_of_its_account_but_not_for_who_is_logged_in() {
    let limits = reading("stranger=1/1h,account=1/1h,key=2/1h,account-keys=3/1h");
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let key = |session| caller(1, session, Some("ocpp:read"));
    for (caller, refused_for) in [
        (caller(1, 1, None), None),
        // Another login of the same account.
        (caller(1, 2, None), Some("read-account")),
        (key(3), None),
        (key(3), None),
        (key(3), Some("read-key")),
        (key(4), None),
        (key(4), Some("read-account-keys")),
        (key(5), Some("read-account-keys")),
        // The key of somebody else.
        (caller(2, 6, Some("ocpp:read")), None),
        (Caller::Anonymous, None),
        (Caller::Service { name: "gateway".into() }, Some("read-stranger")),
    ] {
        let counted = limits.count(Class::Read, super::Who::of(&caller), address).await;
        assert_eq!(counted.err().map(told_policy).as_deref(), refused_for, "{caller:?}");
    }
}

/// The limit that somebody is told to have run into.
fn told_policy(status: tonic::Status) -> String {
    let told = status.metadata().get("ratelimit").unwrap().to_str().unwrap();
    told.split('"').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn of_the_limits_that_a_request_is_under_the_nearest_is_told_and_when_all_of_it_is_there_again() {
    let limits = reading("account=4/100s,address=6/60s");
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let mut told = Vec::new();
    for account in [1, 1, 2, 2, 3] {
        let standing = limits.count(Class::Read, super::Who::of(&caller(account, 1, None)), address);
        let mut headers = http::HeaderMap::new();
        standing.await.unwrap().tell(&mut headers);
        told.push(headers["ratelimit"].to_str().unwrap().to_owned());
    }
    assert_eq!(
        told,
        [
            "\"read-account\";r=3;t=25",
            "\"read-account\";r=2;t=50",
            "\"read-account\";r=3;t=25",
            "\"read-account\";r=2;t=50",
            "\"read-address\";r=1;t=50",
        ]
    );
}

#[tokio::test]
async fn whoever_has_a_site_of_ipv6_is_not_as_many_as_it_has_networks() {
    let limits = reading("stranger=2/1h");
    let ask = async |address: String| {
        let who = super::Who::Stranger;
        let counted = limits.count(Class::Read, who, address.parse().unwrap()).await;
        counted.err().map(told_policy)
    };
    let mut let_in = 0;
    for network in 0..100 {
        match ask(format!("2001:db8:1:{network:x}::1")).await {
            None => let_in += 1,
            Some(policy) => assert_eq!(policy, "read-stranger-site"),
        }
    }
    assert_eq!(let_in, 16);
    // Another site is another, and IPv4 has none, whoever translates it.
    assert_eq!(ask("2001:db8:2::1".to_owned()).await, None);
    for number in 0..100 {
        assert_eq!(ask(format!("64:ff9b::c000:2{number:02}")).await, None);
    }
}

#[tokio::test]
async fn what_the_wide_limit_refuses_takes_nothing_of_the_narrow_one() {
    let limits = reading("account=3/1h,address=2/1h");
    let who = super::Who::Account(Uuid::from_u128(1));
    let ask = async |address: &str| limits.count(Class::Read, who, address.parse().unwrap()).await;
    for _ in 0..2 {
        assert!(ask("192.0.2.7").await.is_ok());
    }
    for _ in 0..10 {
        assert_eq!(told_policy(ask("192.0.2.7").await.unwrap_err()), "read-address");
    }
    assert!(ask("192.0.2.8").await.is_ok(), "it has one left");
    assert_eq!(told_policy(ask("192.0.2.8").await.unwrap_err()), "read-account");
}

/// The clock of Redis was set back by a day.
#[tokio::test]
async fn a_key_from_the_future_is_full_for_one_interval_and_not_until_then() {
    let policies = policies("account=2/2s");
    let redis = Redis::new(&testbed::redis_url(), Duration::from_secs(5)).unwrap();
    redis.connect().await;
    let counts = counts(&policies, rand::random(), 0);
    let key = counts[0].unwrap().key.in_redis(counts[0].unwrap().policy);
    let mut connection = redis::Client::open(testbed::redis_url())
        .unwrap()
        .get_connection()
        .unwrap();
    let (now, _): (u64, u64) = redis::cmd("TIME").query(&mut connection).unwrap();
    let ahead = (now + 24 * 60 * 60) * 1_000_000;
    let () = redis::cmd("SET").arg(&key).arg(ahead).query(&mut connection).unwrap();
    let refusal = redis.count(&counts).await.unwrap().unwrap_err();
    assert_eq!(refusal.wait, Duration::from_secs(1));
    tokio::time::sleep(refusal.wait + Duration::from_millis(100)).await;
    assert!(redis.count(&counts).await.unwrap().is_ok());
    let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).unwrap();
    assert!((1..=2000).contains(&left), "{left}");
}

#[tokio::test]
async fn limits_that_were_changed_begin_anew() {
    let redis = Redis::new(&testbed::redis_url(), Duration::from_secs(5)).unwrap();
    redis.connect().await;
    let who = rand::random();
    let (before, after) = (policies("account=1/1h"), policies("account=2/1h"));
    assert!(redis.count(&counts(&before, who, 0)).await.unwrap().is_ok());
    assert!(redis.count(&counts(&before, who, 0)).await.unwrap().is_err());
    let wider = counts(&after, who, 0);
    let key = |counts: &Counts<'_>| counts[0].unwrap().key.in_redis(counts[0].unwrap().policy);
    assert_ne!(key(&counts(&before, who, 0)), key(&wider));
    assert!(redis.count(&wider).await.unwrap().is_ok());
}

#[test]
fn an_interval_is_never_nothing() {
    let quota = Quota {
        requests: NonZeroU32::new(1_000_000).unwrap(),
        window: 1,
    };
    assert_eq!(quota.interval(), 1);
}
