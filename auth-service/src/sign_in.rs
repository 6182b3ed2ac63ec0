//! The end of every login, whatever proved who it is: the session starts, the audit log has it, and where the account has
//! not been used by this device or from this network before, its owner gets a mail.

mod device;

use chrono::{DateTime, Utc};
use service_kit::access::Client;
use service_kit::event::timestamp;
use service_kit::reason;
use service_kit::{database, event, outbox};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::events::v1::NewSignIn;

pub use self::device::{prune, remember};

use crate::State;
use crate::account::Account;
use crate::announce;
use crate::audit::{self, Action, Entry};
use crate::second_factor::code::Method;
use crate::session::LoggedIn;
use crate::session::start::{self, SessionError};
use crate::throttle::familiar;

/// What a login was proven by.
#[derive(Debug, Clone, Copy)]
pub enum Proof {
    Password,
    SecondFactor(Method),
    Passkey(Uuid),
}

#[derive(Debug, Error)]
pub enum SignInError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the event could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error("the login could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<SignInError> for Status {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Session(error) => error.into(),
            SignInError::Outbox(error) => reason::internal(&error),
            SignInError::Database(error) => database::failed(&error),
        }
    }
}

/// Starts the session. The caller holds a lock on the account's row, and has made sure of everything.
pub async fn sign_in(
    connection: &mut PgConnection,
    state: &State,
    account: Account,
    proof: Proof,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<LoggedIn, SignInError> {
    let logged_in = start::start(connection, state, account, client, now).await?;
    let account = logged_in.account.id;
    familiar::remember(connection, account, client.address, now).await?;
    if device::remember(connection, account, client, now)
        .await?
        .is_worth_a_mail()
    {
        tell_owner(connection, account, client, now).await?;
    }
    let entry = Entry::new(Action::LoggedIn, now, client).by(account).on(account);
    let entry = match proof {
        Proof::Password => entry,
        Proof::SecondFactor(method) => entry.with("secondFactor", method.as_str()),
        Proof::Passkey(passkey) => entry.with("passkey", passkey.to_string()),
    };
    audit::record(connection, entry).await?;
    Ok(logged_in)
}

/// Only where the address was shown to be the owner's: anybody may claim an address, and log in as often as they like.
async fn tell_owner(
    connection: &mut PgConnection,
    account: Uuid,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<(), SignInError> {
    let owner = sqlx::query!(
        r#"SELECT username, email AS "email!" FROM authentication.account
           WHERE id = $1 AND email IS NOT NULL AND email_verified_at IS NOT NULL"#,
        account
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(owner) = owner else { return Ok(()) };
    let happened = NewSignIn {
        account_id: account.to_string(),
        username: owner.username,
        email: Some(owner.email),
        address: client.address.to_string(),
        device: client.device.clone(),
        at: Some(timestamp(now)),
    };
    announce::about(connection, account, event::new(crate::NAME, now, &happened)).await?;
    Ok(())
}
