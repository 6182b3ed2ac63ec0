//! What the tests stand on: a database with the schemas `authentication` and `email`, a folder for mail, a clock that can
//! be put forward, and as many services and relays as a test wants.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use email_service::{Application, Settings};
use service_kit::Shared;
use service_kit::access::ServiceSecret;
use service_kit::bus::{Bus, LocalBus, RabbitMq};
use service_kit::clock::{Clock, SystemClock};
use service_kit::event::{self, Event};
use service_kit::outbox::{self, Relay};
use service_kit::settings::{AccessSettings, DatabaseSettings, DatabaseUrl};
use sqlx::PgPool;
use tempfile::TempDir;
use testbed::Database;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use voltgate_proto::events::v1::{AccountDeleted, AccountSignedUp, PasswordResetRequested};

const SECRET: &str = "a secret that the tests of email-service share";

/// The machine's clock, put forward by as much as a test likes.
#[derive(Default)]
pub struct MovedClock(Mutex<TimeDelta>);

impl MovedClock {
    pub fn forward(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for MovedClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + *self.0.lock().unwrap()
    }
}

pub struct Rig {
    pub clock: Arc<MovedClock>,
    /// Connected as a producer is: its outbox is the one of `authentication`.
    pub database: PgPool,
    folder: TempDir,
    running: JoinSet<()>,
    shutdown: CancellationToken,
    server: Database,
}

pub fn local() -> Bus {
    Bus::Local(LocalBus::default())
}

pub fn rabbitmq(url: &str) -> Bus {
    Bus::RabbitMq(RabbitMq::at(url).unwrap())
}

impl Rig {
    pub async fn new() -> Self {
        let server = Database::create().await;
        let url = DatabaseUrl {
            url: server.url().to_owned(),
            setting: "DATABASE_URL",
            max_connections: 5,
            longest_statement: Duration::from_secs(45),
        };
        let migrations = sqlx::migrate!("../migrations/authentication");
        let database = service_kit::database::connect(&url, "authentication", &migrations)
            .await
            .unwrap();
        Self {
            clock: Arc::default(),
            database,
            folder: tempfile::tempdir().unwrap(),
            running: JoinSet::new(),
            shutdown: CancellationToken::new(),
            server,
        }
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    pub fn settings(&self) -> Settings {
        Settings {
            email_listen: "127.0.0.1:0".parse().unwrap(),
            email_database_url: None,
            smtp_url: None,
            email_from: "Voltgate <mail@voltgate.example>".to_owned(),
            email_pages_url: None,
            email_public_url: None,
            email_retention_days: 90,
            email_secret: Some("seals what webhooks are signed with here".to_owned()),
            email_webhook_allow_internal: true,
            email_audit_retention_days: 730,
            email_folder: Some(self.folder()),
        }
    }

    pub fn shared(&self, bus: &Bus, auth_url: &str) -> Shared {
        Shared {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            bus: bus.clone(),
            database: DatabaseSettings {
                database_url: Some(self.server.url().to_owned()),
                database_max_connections: 10,
                database_statement_seconds: 60,
            },
            access: AccessSettings {
                auth_url: auth_url.to_owned(),
                auth_issuer: "voltgate".to_owned(),
                auth_audience: "voltgate".to_owned(),
                service_secret: Some(SECRET.to_owned()),
            },
            service_secret: ServiceSecret::new(SECRET.as_bytes()),
            tls: None,
            max_calls: 1000,
            drain: Duration::from_secs(5),
        }
    }

    /// Starts email-service with mail going into the folder.
    pub async fn start_email(&mut self, bus: &Bus) {
        self.start_email_with(bus, self.settings()).await;
    }

    pub async fn start_email_with(&mut self, bus: &Bus, settings: Settings) {
        let shared = self.shared(bus, "http://127.0.0.1:1");
        let application = Application::build(settings, shared).await.unwrap();
        let shutdown = self.shutdown.clone();
        self.spawn(async move { application.run(shutdown).await.unwrap() });
    }

    /// Starts carrying events from the outbox to the bus.
    pub fn start_relay(&mut self, bus: &Bus) {
        let relay = Relay::new(self.database.clone(), bus.publisher());
        self.spawn(relay.run(self.shutdown.clone()));
    }

    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(task);
    }

    /// The database itself.
    pub fn server(&self) -> &Database {
        &self.server
    }

    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Commits the event of a signup, as auth-service does.
    pub async fn sign_up(&self, username: &str) -> Event {
        let event = signed_up(username, Some(&format!("{username}@example.org")));
        self.write(&event).await;
        event
    }

    pub async fn write(&self, event: &Event) {
        let mut transaction = self.database.begin().await.unwrap();
        outbox::enqueue(&mut transaction, event).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// The mails in the folder.
    pub fn mails(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.folder()) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect()
    }

    /// One number from the database.
    pub async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.database).await.unwrap()
    }

    /// Every table with a row that has `text` anywhere in it, be it text, JSON or bytes.
    pub async fn tables_with(&self, text: &str) -> Vec<String> {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('authentication', 'email')",
        )
        .fetch_all(&self.database)
        .await
        .unwrap();
        assert!(tables.len() >= 4, "{tables:?}");
        let mut found = Vec::new();
        for table in tables {
            let query = format!(
                "SELECT count(*) FROM {table} AS one
                 WHERE one::text LIKE '%' || $1 || '%' OR one::text LIKE '%' || encode(convert_to($1, 'UTF8'), 'hex') || '%'"
            );
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .bind(text)
                .fetch_one(&self.database)
                .await
                .unwrap();
            if rows > 0 {
                found.push(table);
            }
        }
        found.sort_unstable();
        found
    }

    /// How many messages are in this state.
    pub async fn messages(&self, status: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM email.message WHERE status = $1")
            .bind(status)
            .fetch_one(&self.database)
            .await
            .unwrap()
    }

    pub async fn message(&self) -> MessageRow {
        sqlx::query_as("SELECT attempts, last_error, possibly_duplicate FROM email.message")
            .fetch_one(&self.database)
            .await
            .unwrap()
    }

    /// Waits until `count` messages are sent, and a little longer for one too many.
    pub async fn sent(&self, count: i64) {
        eventually("the messages are sent", || async {
            self.number("SELECT count(*) FROM email.message WHERE status = 'sent'")
                .await
                == count
        })
        .await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(self.number("SELECT count(*) FROM email.message").await, count);
    }

    /// Leaves the message as a sender does that dies between handing the mail over and noting so.
    pub async fn abandon_message(&self) {
        sqlx::query(
            "UPDATE email.message
             SET status = 'sending', sent_at = NULL, claim = gen_random_uuid(), lease_until = now() - interval '1 second'",
        )
        .execute(&self.database)
        .await
        .unwrap();
    }

    /// Stops everything that runs, in order. What is started afterwards runs.
    pub async fn halt(&mut self) {
        self.shutdown.cancel();
        while let Some(done) = self.running.join_next().await {
            done.unwrap();
        }
        self.shutdown = CancellationToken::new();
    }

    /// Stops everything that runs, in order.
    pub async fn stop(mut self) {
        self.halt().await;
    }
}

#[derive(Debug, sqlx::FromRow)]
pub struct MessageRow {
    pub attempts: i32,
    pub last_error: Option<String>,
    pub possibly_duplicate: bool,
}

pub fn signed_up(username: &str, email: Option<&str>) -> Event {
    let message = AccountSignedUp {
        account_id: Uuid::now_v7().to_string(),
        username: username.to_owned(),
        email: email.map(str::to_owned),
    };
    event::new("auth-service", SystemClock.now(), &message)
}

/// What must not be found anywhere when its time is over.
pub const CODE: &str = "qZ3vN0bTt7d2m5Y1pLhXcW8rKjUeGs4fA9oRiBzQnVM";

/// The event of somebody who forgot their password, with a code that is good for `left`.
pub fn forgot(username: &str, left: TimeDelta) -> Event {
    let now = SystemClock.now();
    let message = PasswordResetRequested {
        account_id: Uuid::now_v7().to_string(),
        username: username.to_owned(),
        email: format!("{username}@example.org"),
        code: CODE.to_owned(),
        expires_at: Some(event::timestamp(now + left)),
    };
    event::expiring("auth-service", now, now + left, &message)
}

/// The event of the end of an account.
pub fn deleted(account_id: &str, username: &str) -> Event {
    let message = AccountDeleted {
        account_id: account_id.to_owned(),
        username: username.to_owned(),
        email: Some(format!("{username}@example.org")),
        email_is_shared: false,
    };
    event::new("auth-service", SystemClock.now(), &message)
}

/// Waits until `condition` holds. Generous, because tests share a small machine.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    for _ in 0..1200 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to be that {what}");
}
