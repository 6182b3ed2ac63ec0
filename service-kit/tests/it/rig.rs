//! What the tests stand on: a schema with an outbox, and handlers that remember what they were given.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use service_kit::bus::rabbitmq::topology::EMAIL_SERVICE;
use service_kit::bus::{EventHandler, Handled, HandlerError, Subscription};
use service_kit::clock::{Clock, SystemClock};
use service_kit::event::{self, Event};
use service_kit::outbox;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};
use testbed::Database;
use voltgate_proto::events::v1::{AccountSignedUp, EmailVerificationRequested, PasswordResetRequested};

/// Of those that publishers know, so that nothing is lost whoever comes first.
pub const SUBSCRIPTION: Subscription = EMAIL_SERVICE;

/// A database with nothing but the outbox that services really have.
pub struct Outbox {
    pub pool: PgPool,
    _database: Database,
}

impl Outbox {
    pub async fn create() -> Self {
        let database = Database::create().await;
        let options: PgConnectOptions = database.url().parse().unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .connect_with(options.options([("search_path", "email")]))
            .await
            .unwrap();
        pool.execute("CREATE SCHEMA email").await.unwrap();
        for migration in [
            include_str!("../../../migrations/email/0008_outbox.sql"),
            include_str!("../../../migrations/email/0013_outbox_due.sql"),
        ] {
            pool.execute(migration).await.unwrap();
        }
        Self {
            pool,
            _database: database,
        }
    }

    /// Commits one event.
    pub async fn write(&self, username: &str) -> Event {
        let event = signed_up(username);
        self.write_event(&event).await;
        event
    }

    pub async fn write_event(&self, event: &Event) {
        let mut transaction = self.pool.begin().await.unwrap();
        outbox::enqueue(&mut transaction, event).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// How many rows answer to a condition.
    pub async fn count(&self, condition: &'static str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM outbox WHERE {condition}"));
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }
}

pub fn signed_up(username: &str) -> Event {
    let message = AccountSignedUp {
        account_id: String::new(),
        username: username.to_owned(),
        email: None,
    };
    event::new("test", DateTime::UNIX_EPOCH, &message)
}

/// The event of a reset with a code that is good for `left`.
pub fn reset(username: &str, left: TimeDelta) -> Event {
    let now = SystemClock.now();
    let message = PasswordResetRequested {
        username: username.to_owned(),
        code: CODE.to_owned(),
        expires_at: Some(event::timestamp(now + left)),
        ..PasswordResetRequested::default()
    };
    event::expiring("test", now, now + left, &message)
}

/// The same of a verification.
pub fn verification(username: &str, left: TimeDelta) -> Event {
    let now = SystemClock.now();
    let message = EmailVerificationRequested {
        username: username.to_owned(),
        code: CODE.to_owned(),
        expires_at: Some(event::timestamp(now + left)),
        ..EmailVerificationRequested::default()
    };
    event::expiring("test", now, now + left, &message)
}

/// What must not be found anywhere when its time is over.
pub const CODE: &str = "qZ3vN0bTt7d2m5Y1pLhXcW8rKjUeGs4fA9oRiBzQnVM";

/// A subscriber that remembers what it was given, and answers as it was told to, or else that all is well.
#[derive(Default)]
pub struct Reader {
    seen: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<Result<Handled, HandlerError>>>,
}

impl Reader {
    pub fn answering(answers: impl IntoIterator<Item = Result<Handled, HandlerError>>) -> Arc<Self> {
        Arc::new(Self {
            seen: Mutex::default(),
            answers: Mutex::new(answers.into_iter().collect()),
        })
    }

    /// Usernames, in the order in which they came.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl EventHandler for Reader {
    async fn handle(&self, event: &Event) -> Result<Handled, HandlerError> {
        let username = match event.expires_at {
            None => event::decode::<AccountSignedUp>(event).unwrap().username,
            Some(_) => match event::decode::<PasswordResetRequested>(event) {
                Ok(reset) => reset.username,
                Err(_) => event::decode::<EmailVerificationRequested>(event).unwrap().username,
            },
        };
        self.seen.lock().unwrap().push(username);
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or(Ok(Handled::New))
    }
}

/// Waits until `what` holds. Generous, because tests share a small machine.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    for _ in 0..600 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to be that {what}");
}
