//! Sign up: a new account with the role of a driver, logged in at once. The account and the event that tells of it are
//! one transaction, so that no mail is sent for an account that does not exist, and none is forgotten.
//!
//! That a username is taken is said. That an address is in use is not: the account is created all the same, and the mail
//! that follows goes to whoever reads that mailbox.

use chrono::{DateTime, Utc};
use service_kit::access::{Client, Role};
use service_kit::reason::FieldViolation;
use service_kit::{database, event, language, outbox};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::metadata::MetadataMap;
use uuid::Uuid;
use voltgate_proto::auth::v1::SignUpRequest;
use voltgate_proto::events::v1::AccountSignedUp;

use crate::State;
use crate::account::{self, InsertError, NewAccount};
use crate::announce;
use crate::audit::{self, Action, Entry};
use crate::email::Email;
use crate::email::verify::{self, Asked};
use crate::email_code;
use crate::password::Password;
use crate::password_hash::{HashError, PasswordHash};
use crate::session::start::SessionError;
use crate::session::{self, LoggedIn};
use crate::sign_in;
use crate::throttle::{Purpose, ThrottleError, familiar};
use crate::username::Username;

/// A signup that breaks no rule.
#[derive(Debug)]
pub struct SignUp {
    username: Username,
    email: Email,
    password: Password,
    /// A BCP 47 tag, where the client says one.
    language: Option<String>,
}

#[derive(Debug, Error)]
pub enum SignUpError {
    #[error("the username is taken")]
    UsernameTaken,
    #[error(transparent)]
    Throttled(#[from] ThrottleError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the event of the signup could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error("the account could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<InsertError> for SignUpError {
    fn from(error: InsertError) -> Self {
        match error {
            InsertError::UsernameTaken => Self::UsernameTaken,
            InsertError::Database(error) => Self::Database(error),
        }
    }
}

impl TryFrom<SignUpRequest> for SignUp {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: SignUpRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let username = Username::parse(&request.username)
            .map_err(|problem| violations.push(FieldViolation::new("username", problem.to_string())))
            .ok();
        let password = Password::parse(&request.password, username.as_ref())
            .map_err(|problems| {
                violations.extend(
                    problems
                        .iter()
                        .map(|problem| FieldViolation::new("password", problem.to_string())),
                );
            })
            .ok();
        let email = email(&request).map_err(|violation| violations.push(violation)).ok();
        match (username, email, password) {
            (Some(username), Some(email), Some(password)) => Ok(Self {
                username,
                email,
                password,
                language: None,
            }),
            _ => Err(violations),
        }
    }
}

impl SignUp {
    /// Of what the client likes to read, if it says anything of it (`Accept-Language`).
    pub fn in_language_of(self, metadata: &MetadataMap) -> Self {
        let header = metadata.get("accept-language").and_then(|value| value.to_str().ok());
        Self {
            language: header.and_then(language::preferred),
            ..self
        }
    }
}

fn email(request: &SignUpRequest) -> Result<Email, FieldViolation> {
    match &request.email {
        Some(email) => Email::parse(email).map_err(|problem| FieldViolation::new("email", problem.to_string())),
        None => Email::parse(&request.username)
            .map_err(|_| FieldViolation::new("email", "is required, as the username is not an email address")),
    }
}

pub async fn sign_up(state: &State, new: SignUp, client: &Client) -> Result<LoggedIn, SignUpError> {
    let attempt = state.throttle.reserve(Purpose::SignUp, client.address, None).await?;
    let signed_up = hash_and_store(state, new, client).await;
    match &signed_up {
        // Counted: that a name is taken is an answer too.
        Ok(_) | Err(SignUpError::UsernameTaken) => {}
        Err(_) => attempt.give_back().await,
    }
    signed_up
}

async fn hash_and_store(state: &State, new: SignUp, client: &Client) -> Result<LoggedIn, SignUpError> {
    let password = state.passwords.hash(new.password.clone()).await?;
    let mailbox = new.email.as_str().to_lowercase();
    let purpose = Purpose::SendMail;
    let mail = match state
        .throttle
        .reserve_for_account(purpose, client.address, &mailbox)
        .await
    {
        Ok(mail) => Some(mail),
        // Too many to this mailbox, so that nobody floods it by signing up again and again. The answer is the same; a code can be
        // asked for later.
        Err(ThrottleError::Refused(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let stored = store(state, &new, &password, client, mail.is_some()).await;
    if let (Err(_), Some(mail)) = (&stored, mail) {
        mail.give_back().await;
    }
    stored
}

async fn store(
    state: &State,
    new: &SignUp,
    password: &PasswordHash,
    client: &Client,
    is_told: bool,
) -> Result<LoggedIn, SignUpError> {
    let (username, email) = (&new.username, &new.email);
    let now = state.clock.now();
    let id = Uuid::now_v7();
    let mut transaction = database::begin(&state.database).await?;
    let account = NewAccount {
        id,
        username,
        email: Some(email),
        password,
        roles: &[Role::Driver],
        site_groups: None,
        language: new.language.as_deref(),
        created_at: now,
    };
    let account = account::insert(&mut transaction, &account).await?;
    // Nobody is welcomed at an address that is somebody else's.
    let is_welcome = is_told && ask_for_code(&mut transaction, id, username, email, now).await? == Asked::ForACode;
    let signed_up = AccountSignedUp {
        account_id: id.to_string(),
        username: username.to_string(),
        email: is_welcome.then(|| email.as_str().to_owned()),
    };
    announce::about(&mut transaction, id, event::new(crate::NAME, now, &signed_up)).await?;
    let logged_in = session::start::start(&mut transaction, state, account, client, now).await?;
    familiar::remember(&mut transaction, id, client.address, now).await?;
    sign_in::remember(&mut transaction, id, client, now).await?;
    audit::record(
        &mut transaction,
        Entry::new(Action::SignedUp, now, client).by(id).on(id),
    )
    .await?;
    transaction.commit().await?;
    tracing::info!(account = %id, "Somebody signed up");
    Ok(logged_in)
}

async fn ask_for_code(
    connection: &mut PgConnection,
    account: Uuid,
    username: &Username,
    email: &Email,
    now: DateTime<Utc>,
) -> Result<Asked, outbox::EnqueueError> {
    let purpose = email_code::Purpose::VerifyEmail;
    verify::request(connection, account, username.as_str(), purpose, email.as_str(), now).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(username: &str, password: &str, email: Option<&str>) -> SignUpRequest {
        SignUpRequest {
            username: username.to_owned(),
            password: password.to_owned(),
            email: email.map(str::to_owned),
        }
    }

    fn fields(request: SignUpRequest) -> Vec<String> {
        match SignUp::try_from(request) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn the_username_is_the_address_where_no_other_is_given() {
        let new = SignUp::try_from(request("ada@example.com", "correct horse", None)).unwrap();
        assert_eq!(new.email.as_str(), "ada@example.com");
    }

    #[test]
    fn an_address_that_is_given_wins_over_a_username_that_is_one() {
        let new = SignUp::try_from(request("ada@example.com", "correct horse", Some("ada@example.org"))).unwrap();
        assert_eq!(new.email.as_str(), "ada@example.org");
    }

    #[test]
    fn a_name_that_is_no_address_needs_one() {
        assert_eq!(fields(request("ada", "correct horse", None)), ["email"]);
        assert_eq!(fields(request("ada", "correct horse", Some(""))), ["email"]);
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        assert_eq!(
            fields(request("a b", "short", Some("nowhere"))),
            ["username", "password", "email"]
        );
        assert_eq!(fields(request("", "", None)), ["username", "password", "email"]);
        assert_eq!(
            fields(request("ada", "ada", Some("a@example.com"))),
            ["password", "password"]
        );
    }
}
