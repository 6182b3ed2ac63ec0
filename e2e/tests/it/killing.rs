//! kill -9 of every process at any moment, PostgreSQL's and RabbitMQ's included, with the queue, the database and the mail server out of
//! reach in between: each signup is welcomed once.
//!
//! `VOLTGATE_PROOF_SIGNUPS` says how many there are, `VOLTGATE_PROOF_SEED` which moments.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::processes::Processes;
use e2e::wait::until;
use private_postgres::{Cluster, Durability, Options};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use testbed::{Broker, Database, Proxy, RabbitMq};
use tokio::process::Command;
use tokio::time::sleep;

/// As many as a run of all tests can wait for.
const USUAL: usize = 60;
/// Who signs up at the same time.
const AT_ONCE: usize = 4;

/// Each process of ours is killed, and each way cut, at least so often.
const AT_LEAST: usize = 3;

/// PostgreSQL and RabbitMQ crash at least so often each.
const CRASHES_AT_LEAST: usize = 1;

const KILLED: [&str; 4] = ["auth-service", "charger-service", "email-service", "gateway"];

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("it is a number"))
}

/// Moments that are the same for the same seed (xorshift).
struct Moments(u64);

impl Moments {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The servers that everything stands on, of this test alone, since they crash. What they have acknowledged they have to keep, through
/// the end of their processes; the machine itself goes on, so that nothing is shown of a power cut.
struct Foundation {
    postgres: Cluster,
    rabbitmq: RabbitMq,
    _folder: tempfile::TempDir,
}

impl Foundation {
    async fn lay() -> Self {
        // The user that PostgreSQL runs as under root has to get in.
        let folder = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .expect("there is room for a folder");
        let postgres = Cluster::start(Options {
            folder: folder.path().join("postgres"),
            durability: Durability::Full,
        });
        let rabbitmq = folder.path().join("rabbitmq");
        let (postgres, rabbitmq) = tokio::join!(postgres, RabbitMq::start(&rabbitmq));
        Self {
            postgres: postgres.expect("PostgreSQL starts"),
            rabbitmq: rabbitmq.expect("RabbitMQ starts"),
            _folder: folder,
        }
    }

    /// Kills one of PostgreSQL's processes with -9, at which it gives up all others, and recovers from its log.
    async fn crash_postgres(&self) {
        let url = self.postgres.url("postgres");
        let mut connection = PgConnection::connect(&url).await.expect("PostgreSQL is there");
        let process: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut connection)
            .await
            .expect("it tells its process id");
        let kill = Command::new("kill")
            .args(["-KILL", &process.to_string()])
            .status()
            .await;
        assert!(kill.expect("kill can be run").success(), "process {process} is killed");
        until("PostgreSQL has noticed", async || connection.ping().await.err()).await;
        until("PostgreSQL has recovered", async || {
            PgConnection::connect(&url).await.ok()
        })
        .await;
    }

    async fn stop(self) {
        self.rabbitmq.stop().await.expect("RabbitMQ ends");
        let folder = self.postgres.folder().to_owned();
        self.postgres.stop().await.expect("PostgreSQL ends");
        // It can lie outside the temporary folder, where its user could not reach that one.
        std::fs::remove_dir_all(folder).expect("its folder can be removed");
    }
}

/// Signs up until somebody says that it has been done. An answer may get lost: then the name is taken.
async fn sign_up(client: &reqwest::Client, url: &str, number: usize) {
    let body = json!({ "username": format!("driver{number}@example.com"), "password": "correct horse battery" });
    loop {
        let answer = client
            .post(url)
            .json(&body)
            .timeout(Duration::from_secs(20))
            .send()
            .await;
        match answer.map(|answer| answer.status().as_u16()) {
            Ok(201 | 409) => return,
            Ok(_) | Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_whenever_each_signup_is_welcomed_once() {
    let signups = usize::try_from(setting("VOLTGATE_PROOF_SIGNUPS", USUAL as u64)).expect("it is not that many");
    let seed = setting("VOLTGATE_PROOF_SEED", 20_261_130);
    eprintln!("{signups} signups, with seed {seed}");
    let mut moments = Moments(seed.max(1));
    let mut foundation = Foundation::lay().await;
    let mut processes = Processes::prepare_on(
        Database::create_on(foundation.postgres.url("postgres")).await,
        Broker::create_on(&foundation.rabbitmq).await,
    )
    .await;
    let queue = Proxy::start(processes.broker.address()).await;
    let database = Proxy::start(processes.database_address()).await;
    let mail = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, processes.mail.port()))).await;
    processes.set("email-service", "SMTP_URL", format!("smtp://{}", mail.address()));
    for service in ["auth-service", "charger-service", "email-service"] {
        processes.set(service, "AMQP_URL", processes.broker.url_at(queue.address()));
    }
    for (service, setting) in [
        ("auth-service", "AUTH_DATABASE_URL"),
        ("email-service", "EMAIL_DATABASE_URL"),
    ] {
        let role = format!("voltgate_{}", service.trim_end_matches("-service"));
        processes.set(service, setting, processes.url_as_at(&role, database.address()));
    }
    processes.set("auth-service", "AUTH_FREE_SIGNUPS_PER_ADDRESS", "1000000".to_owned());
    processes.start_all().await;

    let url = format!(
        "http://{}/auth/signup",
        processes.environments["gateway"]["GATEWAY_LISTEN"]
    );
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client can be made");
    let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut people = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, url, next) = (client.clone(), url.clone(), Arc::clone(&next));
        people.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= signups {
                    return;
                }
                sign_up(&client, &url, number).await;
            }
        });
    }
    let finished = Arc::clone(&done);
    let people = tokio::spawn(async move {
        while let Some(one) = people.join_next().await {
            one.expect("nobody gives up");
        }
        finished.store(true, Ordering::Relaxed);
    });

    let mut kills: BTreeMap<_, _> = KILLED.iter().map(|service| (*service, 0)).collect();
    let mut ways = [
        ("queue", &queue, 2000, 0),
        ("database", &database, 1000, 0),
        ("mail", &mail, 1000, 0),
    ];
    let (mut postgres_crashes, mut rabbitmq_crashes) = (0, 0);
    let mut going_on = true;
    while going_on {
        sleep(Duration::from_millis(100 + moments.below(1500))).await;
        match usize::try_from(moments.below(20)).expect("it is small") {
            0 => {
                foundation.crash_postgres().await;
                postgres_crashes += 1;
            }
            1 => {
                let crash = foundation.rabbitmq.crash_and_restart().await;
                crash.expect("RabbitMQ starts again");
                rabbitmq_crashes += 1;
            }
            number if number % 2 == 0 => {
                let (_, way, longest, cut) = &mut ways[number % 3];
                outage(way, moments.below(*longest)).await;
                *cut += 1;
            }
            number => {
                let service = KILLED[number / 2 % KILLED.len()];
                processes.kill(service).await;
                sleep(Duration::from_millis(moments.below(500))).await;
                processes.start_one(service).await;
                *kills.entry(service).or_insert(0) += 1;
            }
        }
        let enough = kills.values().all(|killed| *killed >= AT_LEAST)
            && ways.iter().all(|(.., cut)| *cut >= AT_LEAST)
            && postgres_crashes.min(rabbitmq_crashes) >= CRASHES_AT_LEAST;
        going_on = !(enough && done.load(Ordering::Relaxed));
    }
    people.await.expect("everybody has signed up");
    // What is under way comes to its end, and may be killed once more on the way there.
    for service in ["email-service", "auth-service"] {
        processes.kill(service).await;
        processes.start_one(service).await;
    }
    let mails = processes.settled_mails().await;
    let possible = processes.possible_duplicates().await;
    let outages = ways.map(|(name, .., cut)| (name, cut));
    eprintln!(
        "{kills:?} kills, {outages:?} outages, {postgres_crashes} crashes of PostgreSQL, {rabbitmq_crashes} of RabbitMQ, {} possible \
         duplicates",
        possible.len()
    );

    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mail in mails
        .iter()
        .filter(|mail| mail.contains("\nSubject: Welcome to Voltgate"))
    {
        let header = |name: &str| {
            let line = mail.lines().find_map(|line| line.strip_prefix(name));
            line.expect("each mail has it").trim().to_owned()
        };
        ids.entry(header("To: ")).or_default().push(header("Message-ID: "));
    }
    assert_eq!(ids.len(), signups, "everybody is welcomed");
    let mut copies = 0;
    for (to, ids) in &ids {
        let distinct: BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 1, "{to} was written to by two messages: {ids:?}");
        if ids.len() > 1 {
            copies += ids.len() - 1;
            let id = ids[0]
                .trim_start_matches('<')
                .split('@')
                .next()
                .expect("an id has a local part");
            assert!(
                possible.contains(id),
                "{to} has {} copies, and nothing says so",
                ids.len()
            );
        }
    }
    let distinct: BTreeSet<_> = ids.values().flatten().collect();
    assert_eq!(distinct.len(), signups);
    eprintln!("{signups} welcomes with distinct Message-IDs, {copies} second copies, each marked as such");
    processes.stop().await;
    foundation.stop().await;
}

async fn outage(proxy: &Proxy, milliseconds: u64) {
    proxy.refuse().await;
    proxy.cut().await;
    sleep(Duration::from_millis(milliseconds)).await;
    proxy.resume().await;
}
