use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use service_kit::clock::Clock;
use service_kit::settings::DatabaseUrl;
use sqlx::PgPool;
use testbed::Database;
use tonic::Status;
use uuid::Uuid;

use super::*;

const LIMITS: Limits = Limits {
    failures: 5,
    failures_per_address: 20,
    signups_per_address: 50,
    longest_wait: 900,
};

/// What one replica has, with a clock that a test sets.
#[derive(Clone)]
struct Replica {
    throttle: Throttle,
    clock: Arc<SetClock>,
}

#[derive(Default)]
struct SetClock(Mutex<DateTime<Utc>>);

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

impl Deref for Replica {
    type Target = Throttle;

    fn deref(&self) -> &Throttle {
        &self.throttle
    }
}

async fn replica(database: &Database) -> Replica {
    let url = DatabaseUrl {
        url: database.url().to_owned(),
        setting: "DATABASE_URL",
        max_connections: 4,
        longest_statement: std::time::Duration::from_secs(60),
    };
    let migrations = sqlx::migrate!("../migrations/authentication");
    let pool = service_kit::database::connect(&url, "authentication", &migrations)
        .await
        .unwrap();
    let clock = Arc::<SetClock>::default();
    Replica {
        throttle: Throttle::new(pool, clock.clone(), LIMITS),
        clock,
    }
}

#[test]
fn attempts_get_half_of_the_connections_that_nobody_listens_by() {
    let shares = [4, 8, 10, 20, 1000].map(for_attempts);
    assert_eq!(shares, [1, 2, 3, 8, 498]);
}

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn after(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

impl Replica {
    async fn reserve(
        &self,
        purpose: Purpose,
        from: IpAddr,
        name: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Reservation, ThrottleError> {
        *self.clock.0.lock().unwrap() = now;
        self.throttle.reserve(purpose, from, name).await
    }

    /// The wait in seconds where the attempt is refused; one that is let in fails.
    async fn fail(&self, from: IpAddr, name: &str, now: DateTime<Utc>) -> Option<u64> {
        match self.reserve(Purpose::LogIn, from, Some(name), now).await {
            Ok(_) => None,
            Err(ThrottleError::Refused(refusal)) => Some(refusal.wait().as_secs()),
            Err(ThrottleError::Database(error)) => panic!("{error}"),
        }
    }

    async fn succeed(&self, from: IpAddr, name: &str, now: DateTime<Utc>) {
        let reservation = self.reserve(Purpose::LogIn, from, Some(name), now).await;
        reservation.ok().unwrap().succeeded().await;
    }
}

async fn account(database: &PgPool, name: &str) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO authentication.account (id, username, username_key, password_hash, roles, created_at)
         VALUES ($1, $2, $2, '', '{driver}', now())",
    )
    .bind(id)
    .bind(name)
    .execute(database)
    .await
    .unwrap();
    id
}

async fn make_familiar(throttle: &Throttle, account: Uuid, from: IpAddr, now: DateTime<Utc>) {
    let mut connection = throttle.database.acquire().await.unwrap();
    familiar::remember(&mut connection, account, from, now).await.unwrap();
}

#[tokio::test]
async fn five_failures_are_free_and_then_each_wait_is_twice_as_long_up_to_a_quarter_of_an_hour() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    let mut now = start();
    for _ in 0..6 {
        assert_eq!(throttle.fail(address(1), "ada", now).await, None);
    }
    let mut waits = Vec::new();
    for _ in 0..20 {
        let wait = throttle.fail(address(1), "ada", now).await.unwrap();
        now += TimeDelta::seconds(wait as i64 - 1);
        assert_eq!(throttle.fail(address(1), "ada", now).await, Some(1));
        now += TimeDelta::seconds(1);
        assert_eq!(
            throttle.fail(address(1), "ada", now).await,
            None,
            "after {wait} seconds"
        );
        waits.push(wait);
    }
    assert_eq!(waits[..9], [1, 2, 4, 8, 16, 32, 64, 128, 256]);
    // From here on about as much is forgotten while waiting.
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(waits.last(), Some(&900), "{waits:?}");
}

#[tokio::test]
async fn a_refused_attempt_writes_nothing_and_makes_the_wait_no_longer() {
    let database = Database::create().await;
    let (throttle, other) = (replica(&database).await, replica(&database).await);
    while throttle.fail(address(1), "ada", start()).await.is_none() {}
    let rows = async || -> Vec<String> {
        sqlx::query_scalar(
            "SELECT ctid || ' ' || xmin || ' ' || xmax || ' ' || t FROM authentication.throttle AS t ORDER BY 1",
        )
        .fetch_all(&other.database)
        .await
        .unwrap()
    };
    let before = rows().await;
    for _ in 0..100 {
        assert_eq!(other.fail(address(1), "ada", start()).await, Some(1));
    }
    assert_eq!(rows().await, before);
}

#[tokio::test]
async fn a_success_clears_what_failed_before_and_counts_for_nothing_itself() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    for _ in 0..30 {
        throttle.succeed(address(1), "ada", start()).await;
    }
    for _ in 0..3 {
        for _ in 0..5 {
            assert_eq!(throttle.fail(address(1), "ada", start()).await, None);
        }
        throttle.succeed(address(1), "ada", start()).await;
    }
    // What failed still counts for the address: fifteen of twenty.
    for _ in 0..6 {
        assert_eq!(throttle.fail(address(1), "grace", start()).await, None);
    }
    assert_eq!(throttle.fail(address(1), "mary", start()).await, Some(1));
}

#[tokio::test]
async fn an_attempt_that_was_given_back_leaves_the_next_wait_as_it_was() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    for _ in 0..5 {
        throttle.fail(address(1), "ada", start()).await;
    }
    for _ in 0..10 {
        let reservation = throttle.reserve(Purpose::LogIn, address(1), Some("ada"), start()).await;
        let met_meanwhile = throttle.fail(address(1), "ada", start()).await;
        assert_eq!(met_meanwhile, Some(1), "it is the sixth");
        reservation.ok().unwrap().give_back().await;
    }
    assert_eq!(throttle.fail(address(1), "ada", start()).await, None);
    assert_eq!(throttle.fail(address(1), "ada", start()).await, Some(1));
}

#[tokio::test]
async fn failures_are_forgotten_one_by_one() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    for _ in 0..5 {
        throttle.fail(address(1), "ada", start()).await;
    }
    assert_eq!(
        throttle.fail(address(1), "ada", after(900)).await,
        None,
        "one was forgotten"
    );
    assert_eq!(throttle.fail(address(1), "ada", after(900)).await, None);
    assert_eq!(throttle.fail(address(1), "ada", after(900)).await, Some(1));
    for _ in 0..6 {
        assert_eq!(throttle.fail(address(1), "ada", after(900 * 8)).await, None);
    }
    assert_eq!(throttle.fail(address(1), "ada", after(900 * 8)).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_attempts_at_once_at_two_replicas_no_more_get_in_than_in_turn() {
    let database = Database::create().await;
    let replicas = [replica(&database).await, replica(&database).await];
    let attempts: Vec<_> = (0..1000)
        .map(|number| {
            let throttle = replicas[number % 2].clone();
            tokio::spawn(async move { throttle.fail(address(1), "ada", start()).await.is_none() })
        })
        .collect();
    let mut let_in = 0;
    for attempt in attempts {
        let_in += usize::from(attempt.await.unwrap());
    }
    assert_eq!(let_in, 6);
}

/// Keys of which one blocks before the other: what had been counted for the other by then is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_at_once_for_many_accounts_are_bounded_by_their_address_and_count_for_nothing_when_refused() {
    let database = Database::create().await;
    let replicas = [replica(&database).await, replica(&database).await];
    let attempts: Vec<_> = (0..400)
        .map(|number| {
            let throttle = replicas[number % 2].clone();
            tokio::spawn(async move {
                let name = format!("account{}", number / 4);
                throttle.fail(address(1), &name, start()).await.is_none()
            })
        })
        .collect();
    let mut let_in = 0;
    for attempt in attempts {
        let_in += i64::from(attempt.await.unwrap());
    }
    assert_eq!(let_in, 21);
    // 15 minutes are one failure of a pair.
    let counted: i64 =
        sqlx::query_scalar("SELECT count(*) FROM authentication.throttle WHERE empty_at >= $1 + interval '15 minutes'")
            .bind(start())
            .fetch_one(&replicas[0].database)
            .await
            .unwrap();
    assert!(
        counted <= let_in + 1,
        "{counted} pairs and the address are counted for {let_in} attempts"
    );
}

/// Many of those that are free at once would fill the pool of hashes for everybody.
#[tokio::test]
async fn attempts_of_one_address_wait_for_each_other_and_not_for_those_of_another() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    let at_once = std::thread::available_parallelism().unwrap().get() * AT_ONCE_PER_CORE;
    let mut under_way = Vec::new();
    for number in 0..at_once {
        let name = format!("account{number}");
        under_way.push(
            throttle
                .reserve(Purpose::LogIn, address(1), Some(&name), start())
                .await
                .ok()
                .unwrap(),
        );
    }
    let one_more = throttle.reserve(Purpose::LogIn, address(1), Some("ada"), start());
    tokio::pin!(one_more);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut one_more)
            .await
            .is_err()
    );
    throttle.succeed(address(2), "grace", start()).await;
    under_way.pop().unwrap().succeeded().await;
    assert!(one_more.await.is_ok());
}

#[tokio::test]
async fn what_blocks_at_one_replica_blocks_at_the_other() {
    let database = Database::create().await;
    let (one, other) = (replica(&database).await, replica(&database).await);
    for number in 0..6 {
        let throttle = if number % 2 == 0 { &one } else { &other };
        assert_eq!(throttle.fail(address(1), "ada", start()).await, None);
    }
    assert_eq!(one.fail(address(1), "ada", start()).await, Some(1));
    assert_eq!(other.fail(address(1), "ada", start()).await, Some(1));
}

#[tokio::test]
async fn a_flood_is_refused_without_the_database() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    for name in 0..21 {
        throttle.fail(address(1), &format!("account{name}"), start()).await;
    }
    assert_eq!(throttle.fail(address(1), "ada", start()).await, Some(1));
    throttle.database.close().await;
    for name in 0..10_000 {
        assert_eq!(
            throttle.fail(address(1), &format!("another{name}"), start()).await,
            Some(1)
        );
    }
    assert_eq!(throttle.blocked.len(), 1);
}

#[tokio::test]
async fn strangers_who_fail_for_an_account_do_not_keep_its_owner_out() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    let ada = account(&throttle.database, "ada").await;
    make_familiar(&throttle, ada, address(200), start()).await;
    for stranger in 0..21 {
        assert_eq!(throttle.fail(address(stranger), "ada", start()).await, None);
    }
    assert_eq!(
        throttle.fail(address(50), "ada", start()).await,
        Some(1),
        "for all strangers"
    );
    throttle.succeed(address(200), "ada", start()).await;
    for _ in 0..6 {
        assert_eq!(throttle.fail(address(200), "ada", start()).await, None);
    }
    assert_eq!(
        throttle.fail(address(200), "ada", start()).await,
        Some(1),
        "the pair counts there"
    );
}

#[tokio::test]
async fn a_stranger_at_the_same_address_keeps_out_those_only_who_are_new_there() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    let ada = account(&throttle.database, "ada").await;
    account(&throttle.database, "grace").await;
    make_familiar(&throttle, ada, address(1), start()).await;
    for name in 0..21 {
        throttle.fail(address(1), &format!("account{name}"), start()).await;
    }
    assert_eq!(throttle.fail(address(1), "grace", start()).await, Some(1));
    assert_eq!(
        throttle.fail(address(1), "grace", start()).await,
        Some(1),
        "from memory"
    );
    throttle.succeed(address(1), "ada", start()).await;
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_throttled_as_one_that_does() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    account(&throttle.database, "ada").await;
    let mut now = start();
    for round in 0..60_u8 {
        let known = throttle
            .reserve(Purpose::LogIn, address(round % 7), Some("ada"), now)
            .await;
        let unknown = throttle
            .reserve(Purpose::LogIn, address(100 + round % 7), Some("nobody"), now)
            .await;
        match (known, unknown) {
            (Ok(_), Ok(_)) => {}
            (Err(ThrottleError::Refused(known)), Err(ThrottleError::Refused(unknown))) => assert_eq!(known, unknown),
            (known, unknown) => panic!("{:?} {:?}", known.err(), unknown.err()),
        }
        now += TimeDelta::seconds(i64::from(round % 3));
    }
}

#[tokio::test]
async fn purposes_are_counted_apart_and_a_signup_counts_for_its_address_alone() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    for _ in 0..51 {
        let signup = throttle.reserve(Purpose::SignUp, address(1), None, start()).await;
        assert!(signup.is_ok());
    }
    let refused = throttle.reserve(Purpose::SignUp, address(1), None, start()).await;
    let Err(ThrottleError::Refused(refusal)) = refused else {
        panic!("the fifty-second got in")
    };
    let status = Status::from(ThrottleError::Refused(refusal));
    let header = |name: &str| status.metadata().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(header("ratelimit-policy"), "\"signup\";q=50;w=3000");
    assert_eq!(header("ratelimit"), "\"signup\";r=0;t=1");
    assert!(
        throttle
            .reserve(Purpose::SignUp, address(2), None, start())
            .await
            .is_ok()
    );
    throttle.succeed(address(1), "ada", start()).await;
}

#[tokio::test]
async fn an_account_is_familiar_with_twenty_addresses_at_most_those_used_last() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    let ada = account(&throttle.database, "ada").await;
    for day in 0..30_u8 {
        make_familiar(&throttle, ada, address(day), start() + TimeDelta::days(day.into())).await;
        make_familiar(&throttle, ada, address(0), start() + TimeDelta::days(day.into())).await;
    }
    let networks: Vec<String> =
        sqlx::query_scalar("SELECT network FROM authentication.familiar_address ORDER BY last_used_at, network")
            .fetch_all(&throttle.database)
            .await
            .unwrap();
    let expected: Vec<_> = (11..29).chain([0, 29]).map(|last| address(last).to_string()).collect();
    assert_eq!(networks, expected);
}

#[tokio::test]
async fn what_is_forgotten_is_removed_and_nothing_else() {
    let database = Database::create().await;
    let throttle = replica(&database).await;
    let ada = account(&throttle.database, "ada").await;
    make_familiar(&throttle, ada, address(1), start()).await;
    make_familiar(&throttle, ada, address(2), after(60)).await;
    for name in 0..1500 {
        let from = IpAddr::from([198, 51, (name / 100) as u8, (name % 100) as u8]);
        throttle.fail(from, &format!("account{name}"), start()).await;
    }
    throttle.fail(address(1), "ada", after(3600)).await;
    let count = async |table: &'static str| -> i64 {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM authentication.{table}"));
        sqlx::query_scalar(count).fetch_one(&throttle.database).await.unwrap()
    };
    throttle.remove_forgotten(start()).await.unwrap();
    // Where the account is familiar, the pair alone is counted.
    assert_eq!((count("throttle").await, count("familiar_address").await), (4501, 2));
    throttle.remove_forgotten(after(3601)).await.unwrap();
    assert_eq!((count("throttle").await, count("familiar_address").await), (1, 2));
    throttle.remove_forgotten(after(90 * 24 * 3600 + 1)).await.unwrap();
    assert_eq!((count("throttle").await, count("familiar_address").await), (0, 1));
}

/// The same arithmetic in plain words: what the statement has to do for one key.
#[derive(Clone, Copy)]
struct Bucket {
    failures: f64,
    seen: f64,
    blocked_until: f64,
}

impl Bucket {
    fn attempt(&mut self, policy: &Policy, now: f64) -> Result<f64, f64> {
        if self.blocked_until > now {
            return Err(self.blocked_until - now);
        }
        let before = self.blocked_until;
        let leaked = (now - self.seen) / f64::from(policy.leak);
        self.failures = ((self.failures - leaked).max(0.0) + 1.0).min(policy.fullest().into());
        self.seen = now;
        let surplus = self.failures.round() as i32 - policy.free as i32;
        let wait = if surplus > 0 {
            (f64::from(policy.first) * 2_f64.powi(surplus - 1)).min(policy.longest.into())
        } else {
            0.0
        };
        self.blocked_until = now + wait;
        Ok(before)
    }

    fn give_back(&mut self, now: f64) {
        self.failures -= 1.0;
        self.blocked_until = self.blocked_until.min(now);
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Pass(u32),
    Fail,
    GiveBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..2000_u32).prop_map(Step::Pass),
        1 => (0..5_u32).prop_map(Step::Pass),
        5 => Just(Step::Fail),
        1 => Just(Step::GiveBack),
    ];
    prop::collection::vec(step, 1..60)
}

/// Random histories of an address, told to the database and to the model.
#[test]
fn the_statement_counts_as_the_model_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(Database::create());
    let throttle = runtime.block_on(replica(&database));
    let policy = LIMITS.policy(Purpose::SendMail, Kind::Address).unwrap();
    let addresses = AtomicU32::new(0);
    proptest!(ProptestConfig { cases: 60, ..ProptestConfig::default() }, |(steps in steps())| {
        let from = IpAddr::from(addresses.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let mut model = Bucket { failures: 0.0, seen: 0.0, blocked_until: 0.0 };
        let mut passed = 0_u32;
        for step in steps {
            let now = start() + TimeDelta::seconds(passed.into());
            let reserve = async || throttle.reserve(Purpose::SendMail, from, None, now).await;
            match step {
                Step::Pass(seconds) => passed += seconds,
                Step::Fail | Step::GiveBack => {
                    let real = match runtime.block_on(reserve()) {
                        Ok(reservation) => {
                            if matches!(step, Step::GiveBack) {
                                runtime.block_on(reservation.give_back());
                            }
                            None
                        }
                        Err(ThrottleError::Refused(refusal)) => Some(refusal.wait().as_secs_f64()),
                        Err(ThrottleError::Database(error)) => panic!("{error}"),
                    };
                    let expected = model.attempt(&policy, passed.into()).err();
                    if expected.is_none() && matches!(step, Step::GiveBack) {
                        model.give_back(passed.into());
                    }
                    prop_assert_eq!(real, expected);
                }
            }
        }
    });
}
