//! One way of counting, here and at Redis: the same histories, told to both and to a model in plain words.
#![allow(clippy::unwrap_used)]

mod fake_redis;
mod outage;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, FakeRelativeClock};
use governor::nanos::Nanos;
use proptest::prelude::*;
use service_kit::access::{Caller, Role, Scopes};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::answer::Refusal;
use super::key::{Key, Subject};
use super::memory::Memory;
use super::policy::{ClassLimits, Policies, Policy, Quota};
use super::redis::Redis;
use super::shared::Outage;
use super::{Class, Counted, Counts, RateLimitSettings};

/// The same arithmetic in seconds: what has been used of a quota, and leaks.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    used: f64,
    seen: f64,
}

impl Bucket {
    /// What is left, or how long to wait.
    fn take(&mut self, policy: &Policy, now: f64) -> Result<u32, f64> {
        let interval = policy.interval().as_secs_f64();
        let leaked = (now - self.seen) / interval;
        self.used = (self.used - leaked).max(0.0);
        self.seen = now;
        let quota = f64::from(policy.quota.requests.get());
        if self.used + 1.0 > quota + 1e-9 {
            return Err((self.used + 1.0 - quota) * interval);
        }
        self.used += 1.0;
        Ok((quota - self.used + 1e-6) as u32)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many seconds go by.
    Pass(u32),
    Ask,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..400_u32).prop_map(Step::Pass),
        1 => (0..20_u32).prop_map(Step::Pass),
        6 => Just(Step::Ask),
    ];
    prop::collection::vec(step, 1..50)
}

/// Something that counts, and whose time a test has pass.
trait Counter {
    fn count<'l>(&self, counts: &Counts<'l>) -> super::Verdict<'l>;
    fn pass(&self, counts: &Counts<'_>, seconds: u32);
}

struct Here {
    memory: Memory<Set>,
    clock: Set,
}

/// governor's own clock for tests counts from its birth, as ours does.
#[derive(Clone)]
struct Set(FakeRelativeClock);

impl Clock for Set {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.now()
    }
}

impl Counter for Here {
    fn count<'l>(&self, counts: &Counts<'l>) -> super::Verdict<'l> {
        self.memory.count(counts)
    }

    fn pass(&self, _: &Counts<'_>, seconds: u32) {
        self.clock.0.advance(Duration::from_secs(seconds.into()));
    }
}

struct There {
    runtime: Runtime,
    url: String,
    redis: Redis,
}

impl Counter for There {
    /// Each question is Redis's to answer, whatever is remembered.
    fn count<'l>(&self, counts: &Counts<'l>) -> super::Verdict<'l> {
        self.runtime.block_on(async { self.redis.count(counts).await }).unwrap()
    }

    /// Its clock cannot be set. So what it has written is made older.
    fn pass(&self, counts: &Counts<'_>, seconds: u32) {
        let mut connection = redis::Client::open(&*self.url).unwrap().get_connection().unwrap();
        for Counted { policy, key } in counts.iter().flatten() {
            let key = key.in_redis(policy);
            let arrival: Option<u64> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
            if let Some(arrival) = arrival {
                let older = arrival - u64::from(seconds) * 1_000_000;
                let () = redis::cmd("SET")
                    .arg(&key)
                    .arg(older)
                    .arg("KEEPTTL")
                    .query(&mut connection)
                    .unwrap();
            }
        }
    }
}

fn policies(limits: &str) -> Policies {
    let limits: ClassLimits = limits.parse().unwrap();
    Policies::new(move |_| &*Box::leak(Box::new(limits.clone())))
}

fn counts<'l>(policies: &'l Policies, who: u128, address: u128) -> Counts<'l> {
    let limits = policies.of(Class::Read);
    let counted = |policy: &'l Option<Policy>, id| {
        let policy = policy.as_ref()?;
        let key = Key::new(policy, Subject::id(Uuid::from_u128(id)));
        Some(Counted { policy, key })
    };
    [counted(&limits.account, who), counted(&limits.address, address)]
}

/// Random histories of an account and its address. The windows are long, so that it does not matter how long a test takes.
fn counts_as_the_model_does(counter: &impl Counter, cases: u32) {
    let policies = policies("account=5/1000s,address=12/6000s");
    let limits = policies.of(Class::Read);
    let (account, address) = (limits.account.as_ref().unwrap(), limits.address.as_ref().unwrap());
    proptest!(ProptestConfig { cases, ..ProptestConfig::default() }, |(steps in steps())| {
        let counts = counts(&policies, rand::random(), rand::random());
        let (mut of_account, mut of_address) = (Bucket::default(), Bucket::default());
        let mut passed = 0_u32;
        for step in steps {
            match step {
                Step::Pass(seconds) => {
                    counter.pass(&counts, seconds);
                    passed += seconds;
                }
                Step::Ask => {
                    let now = f64::from(passed);
                    let expected = of_account
                        .take(account, now)
                        .map_err(|wait| ("read-account", wait))
                        .and_then(|left| {
                            of_address.take(address, now).map_err(|wait| ("read-address", wait))?;
                            Ok(left)
                        });
                    match (counter.count(&counts), expected) {
                        (Ok(standing), Ok(left)) => prop_assert_eq!(standing.remaining(), Some(left)),
                        (Err(Refusal { policy, wait }), Err((name, expected))) => {
                            prop_assert_eq!(&policy.name, name);
                            let off = (wait.as_secs_f64() - expected).abs();
                            prop_assert!(off < 3.0, "{} and not {}", wait.as_secs_f64(), expected);
                        }
                        (found, expected) => prop_assert!(false, "{:?} and not {:?}", found, expected),
                    }
                }
            }
        }
    });
}

#[test]
fn counting_in_memory_is_counting_as_the_model_does() {
    let clock = Set(FakeRelativeClock::default());
    let policies = policies("account=5/1000s,address=12/6000s");
    let memory = Memory::new(&policies, clock.clone());
    counts_as_the_model_does(&Here { memory, clock }, 256);
}

#[test]
fn counting_at_redis_is_counting_as_the_model_does() {
    let runtime = Runtime::new().unwrap();
    let url = testbed::redis_url();
    let redis = Redis::new(&url, Duration::from_secs(5)).unwrap();
    runtime.block_on(redis.connect());
    counts_as_the_model_does(&There { runtime, url, redis }, 40);
}

#[test]
fn a_flood_of_addresses_fills_no_memory_and_does_not_free_who_asks_too_often() {
    let clock = Set(FakeRelativeClock::default());
    let policies = policies("account=5/1000s,address=12/6000s");
    let memory = Memory::new(&policies, clock);
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
    let clock = Set(FakeRelativeClock::default());
    let policies = policies("account=50/1h");
    let memory = Arc::new(Memory::new(&policies, clock));
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

#[tokio::test]
async fn an_api_key_is_counted_for_itself_and_not_for_its_account() {
    let limits = |text: &str| -> ClassLimits { text.parse().unwrap() };
    let settings = RateLimitSettings {
        gateway_rate_limit_read: limits("stranger=1/1h,account=1/1h,key=1/1h"),
        redis_url: None,
        ..settings(NOWHERE, Outage::Memory)
    };
    let counted = super::Limits::new(&settings).unwrap();
    let caller = |session: u128, scopes: Option<&str>| Caller::Account {
        id: Uuid::from_u128(1),
        roles: [Role::Driver].into_iter().collect(),
        session: Uuid::from_u128(session),
        token_id: Uuid::from_u128(session),
        scopes: scopes.map(Scopes::parse),
        site_groups: None,
    };
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    for (caller, let_in) in [
        (caller(1, None), true),
        // Another login of the same account.
        (caller(2, None), false),
        (caller(3, Some("ocpp:read")), true),
        (caller(3, Some("ocpp:read")), false),
        (caller(4, Some("ocpp:read")), true),
        (Caller::Anonymous, true),
        (Caller::Service { name: "gateway".into() }, false),
    ] {
        let counted = counted.count(Class::Read, super::Who::of(&caller), address).await;
        assert_eq!(counted.is_ok(), let_in, "{caller:?}");
    }
}

#[test]
fn an_interval_is_never_nothing() {
    let quota = Quota {
        requests: NonZeroU32::new(1_000_000).unwrap(),
        window: 1,
    };
    assert_eq!(quota.interval(), 1);
}
