//! One way of counting, here and at Redis: the same histories, told to both and to a model in plain words.

use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::{Set, counts, policies};
use crate::rate_limit::answer::Refusal;
use crate::rate_limit::memory::Memory;
use crate::rate_limit::policy::{Policies, Policy};
use crate::rate_limit::redis::Redis;
use crate::rate_limit::{Class, Counted, Counts, Verdict};

/// The limits that histories are told under. The windows of those that can be filled are long, so that it does not matter how long a
/// test takes; the others have intervals as short as there are.
const LIMITS: [&str; 3] = [
    "account=5/1000s,address=12/6000s",
    "account=7/700s,address=1000000/1s",
    "account=1000000/1s,address=3/3000s",
];

/// Accounts at the one address, so that either limit is the first to be full.
const ACCOUNTS: usize = 3;

/// The same arithmetic in seconds: what has been used of a quota, and leaks.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    used: f64,
    seen: f64,
}

impl Bucket {
    fn leak(&mut self, policy: &Policy, now: f64) {
        let leaked = (now - self.seen) / policy.interval().as_secs_f64();
        self.used = (self.used - leaked).max(0.0);
        self.seen = now;
    }

    /// How long until it can take one more; none where it can.
    fn wait(&self, policy: &Policy) -> Option<f64> {
        let over = self.used + 1.0 - f64::from(policy.quota.requests.get());
        (over > 1e-9).then(|| over * policy.interval().as_secs_f64())
    }

    /// Takes one more, and tells what is left.
    fn take(&mut self, policy: &Policy) -> u32 {
        self.used += 1.0;
        (f64::from(policy.quota.requests.get()) - self.used + 1e-6) as u32
    }
}

/// A request under several limits at once: all of them take it, or none does.
fn take<'p>(buckets: &mut [(&mut Bucket, &'p Policy)], now: f64) -> Result<(&'p str, u32), (&'p str, f64)> {
    for (bucket, policy) in &mut *buckets {
        bucket.leak(policy, now);
    }
    let full = buckets
        .iter()
        .find_map(|(bucket, policy)| Some((policy.name.as_str(), bucket.wait(policy)?)));
    if let Some(full) = full {
        return Err(full);
    }
    let left = buckets
        .iter_mut()
        .map(|(bucket, policy)| (policy.name.as_str(), bucket.take(policy)));
    // Of equals the first.
    Ok(left.min_by_key(|(_, left)| *left).unwrap())
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many seconds go by.
    Pass(u32),
    /// One of the accounts asks.
    Ask(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (0..400_u32).prop_map(Step::Pass),
        1 => (0..20_u32).prop_map(Step::Pass),
        9 => (0..ACCOUNTS).prop_map(Step::Ask),
    ];
    prop::collection::vec(step, 1..50)
}

/// Something that counts, and whose time a test has pass.
trait Counter {
    fn count<'l>(&self, counts: &Counts<'l>) -> Verdict<'l>;
    fn pass(&self, keys: &[Counted<'_>], seconds: u32);
}

struct Here {
    memory: Memory<Set>,
    clock: Set,
}

impl Counter for Here {
    fn count<'l>(&self, counts: &Counts<'l>) -> Verdict<'l> {
        self.memory.count(counts)
    }

    fn pass(&self, _: &[Counted<'_>], seconds: u32) {
        self.clock.0.advance(Duration::from_secs(seconds.into()));
    }
}

struct There {
    runtime: Runtime,
    connection: std::cell::RefCell<redis::Connection>,
    redis: Redis,
}

impl Counter for There {
    /// Each question is Redis's to answer, whatever is remembered.
    fn count<'l>(&self, counts: &Counts<'l>) -> Verdict<'l> {
        self.runtime.block_on(self.redis.count(counts)).unwrap()
    }

    /// Its clock cannot be set. So what it has written is made older.
    fn pass(&self, keys: &[Counted<'_>], seconds: u32) {
        let mut connection = self.connection.borrow_mut();
        for Counted { policy, key } in keys {
            let key = key.in_redis(policy);
            let arrival: Option<u64> = redis::cmd("GET").arg(&key).query(&mut *connection).unwrap();
            if let Some(arrival) = arrival {
                let older = arrival - u64::from(seconds) * 1_000_000;
                let set = redis::cmd("SET")
                    .arg(&key)
                    .arg(older)
                    .arg("KEEPTTL")
                    .query(&mut *connection);
                let () = set.unwrap();
            }
        }
    }
}

/// Random histories of some accounts at one address.
fn counts_as_the_model_does(counter: &impl Counter, policies: &Policies, cases: u32) {
    let limits = policies.of(Class::Read);
    let (account, address) = (limits.account.as_ref().unwrap(), limits.address.as_ref().unwrap());
    proptest!(ProptestConfig { cases, ..ProptestConfig::default() }, |(steps in steps())| {
        let here: u128 = rand::random();
        let asking: [_; ACCOUNTS] = std::array::from_fn(|_| counts(policies, rand::random(), here));
        // The address's is the last of each.
        let of_each = asking.iter().map(|counts| counts[0]);
        let keys: Vec<_> = of_each.chain([asking[0][2]]).flatten().collect();
        let (mut of_accounts, mut of_address) = ([Bucket::default(); ACCOUNTS], Bucket::default());
        let mut passed = 0_u32;
        for step in steps {
            match step {
                Step::Pass(seconds) => {
                    counter.pass(&keys, seconds);
                    passed += seconds;
                }
                Step::Ask(who) => {
                    let mut buckets = [(&mut of_accounts[who], account), (&mut of_address, address)];
                    let expected = take(&mut buckets, f64::from(passed));
                    match (counter.count(&asking[who]), expected) {
                        (Ok(standing), Ok(expected)) => prop_assert_eq!(standing.told(), Some(expected)),
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
    for limits in LIMITS {
        let (clock, policies) = (Set::default(), policies(limits));
        let memory = Memory::new(&policies, clock.clone()).unwrap();
        counts_as_the_model_does(&Here { memory, clock }, &policies, 256);
    }
}

#[test]
fn counting_at_redis_is_counting_as_the_model_does() {
    let runtime = Runtime::new().unwrap();
    let url = testbed::redis_url();
    let redis = Redis::new(&url, Duration::from_secs(5)).unwrap();
    runtime.block_on(redis.connect());
    let there = There {
        runtime,
        connection: redis::Client::open(url).unwrap().get_connection().unwrap().into(),
        redis,
    };
    for limits in LIMITS {
        counts_as_the_model_does(&there, &policies(limits), 40);
    }
}
