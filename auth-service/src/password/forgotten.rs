//! Somebody forgot a password. The request is stored, alike for an address that has an account and for one that has none,
//! and answered; a worker looks into it afterwards. So neither the answer nor the time that it takes tells anybody whether
//! there is such an account, and a crash loses no request.

use std::time::Duration;

use chrono::{DateTime, Utc};
use service_kit::access::Client;
use service_kit::reason::FieldViolation;
use service_kit::wake::Wake;
use service_kit::{database, event, outbox};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::events::v1::PasswordResetRequested;

use crate::State;
use crate::announce;
use crate::audit::{self, Action, Entry};
use crate::email::Email;
use crate::email_code::{self, Purpose};
use crate::throttle::{self, ThrottleError};

const CHANNEL: &str = "authentication_forgotten_password";

/// The worker looks even if nobody woke it.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Accounts of one address that are sent a code each, where nobody has shown to read what is sent there: anybody can claim one.
const MOST_ACCOUNTS: i64 = 5;

#[derive(Debug, Error)]
pub enum ForgottenError {
    #[error(transparent)]
    Throttle(#[from] ThrottleError),
    #[error("the request could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<ForgottenError> for Status {
    fn from(error: ForgottenError) -> Self {
        match error {
            ForgottenError::Throttle(error) => error.into(),
            ForgottenError::Database(error) => database::failed(&error),
        }
    }
}

/// The address of a request.
///
/// # Errors
/// It is none.
pub fn address(email: &str) -> Result<Email, Vec<FieldViolation>> {
    Email::parse(email).map_err(|problem| vec![FieldViolation::new("email", problem.to_string())])
}

pub async fn forgotten(state: &State, email: &Email, client: &Client) -> Result<(), ForgottenError> {
    // Each request counts, and so whatever becomes of this one it is not given back.
    let mailbox = email.as_str().to_lowercase();
    let _counted = state
        .throttle
        .reserve(throttle::Purpose::SendMail, client.address, Some(&mailbox))
        .await?;
    let mut transaction = database::begin(&state.database).await?;
    sqlx::query!(
        "WITH request AS (
             INSERT INTO authentication.forgotten_password (id, email, requested_at, address, device)
             VALUES ($1, $2, $3, $4, $5)
         )
         SELECT pg_notify($6, '')",
        Uuid::now_v7(),
        email.as_str(),
        state.clock.now(),
        client.address.to_string(),
        client.device,
        CHANNEL
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

#[derive(Debug, Error)]
enum WorkError {
    #[error("the event of the code could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Looks into requests for as long as it is polled. Replicas share the work.
pub async fn look_into_requests(state: &State) {
    let mut wake = Wake::on(state.database.clone(), CHANNEL);
    loop {
        loop {
            match look_into_one(state).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "A request for a new password could not be looked into; it is tried again"
                    );
                    break;
                }
            }
        }
        wake.wait(LOOK_AGAIN).await;
    }
}

struct Request {
    email: String,
    requested_at: DateTime<Utc>,
    address: String,
    device: Option<String>,
}

/// Says whether there was one.
async fn look_into_one(state: &State) -> Result<bool, WorkError> {
    let mut transaction = state.database.begin().await?;
    let request = sqlx::query_as!(
        Request,
        "DELETE FROM authentication.forgotten_password WHERE id = (
             SELECT id FROM authentication.forgotten_password ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
         )
         RETURNING email, requested_at, address, device"
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(request) = request else {
        return Ok(false);
    };
    send_codes(&mut transaction, state, request).await?;
    transaction.commit().await?;
    Ok(true)
}

struct Account {
    id: Uuid,
    username: String,
    email: String,
}

/// The accounts that get a code. Where somebody has shown the address to be theirs, it is nobody else's: whoever claims it all the
/// same must not have its owner sent mails of theirs.
///
/// A statement that waits for a lock sees the others as they were before, and so whether one of them has an owner. So it is
/// looked again, until none that are found had to be waited for.
async fn lock_accounts(connection: &mut PgConnection, email: &str) -> Result<Vec<Account>, sqlx::Error> {
    let mut locked = Vec::new();
    loop {
        let found = sqlx::query_as!(
            Account,
            r#"SELECT id, username, email AS "email!" FROM authentication.account
               WHERE lower(email) = lower($1) AND disabled_at IS NULL
                 AND (email_verified_at IS NOT NULL OR NOT EXISTS (
                     SELECT FROM authentication.account
                     WHERE lower(email) = lower($1) AND disabled_at IS NULL AND email_verified_at IS NOT NULL
                 ))
               ORDER BY created_at, id LIMIT $2
               FOR NO KEY UPDATE"#,
            email,
            MOST_ACCOUNTS
        )
        .fetch_all(&mut *connection)
        .await?;
        if found.iter().all(|account| locked.contains(&account.id)) {
            return Ok(found);
        }
        locked.extend(found.iter().map(|account| account.id));
    }
}

async fn send_codes(connection: &mut PgConnection, state: &State, request: Request) -> Result<(), WorkError> {
    let now = state.clock.now();
    let accounts = lock_accounts(connection, &request.email).await?;
    let client = Client {
        address: request
            .address
            .parse()
            .unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()),
        device: request.device,
    };
    for account in accounts {
        let code = email_code::issue(connection, account.id, Purpose::ResetPassword, &account.email, now).await?;
        let entry = Entry::new(Action::PasswordResetRequested, request.requested_at, &client).on(account.id);
        audit::record(connection, entry).await?;
        let requested = PasswordResetRequested {
            account_id: account.id.to_string(),
            username: account.username,
            email: account.email,
            code: code.text,
            expires_at: Some(event::timestamp(code.expires_at)),
        };
        let event = event::expiring(crate::NAME, now, code.expires_at, &requested);
        announce::about(connection, account.id, event).await?;
    }
    Ok(())
}
