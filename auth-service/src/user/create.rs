//! An administrator creates an account. Without a password, its owner sets one with a code that is sent by mail; until
//! then nobody can log in.

use service_kit::access::{Client, Role};
use service_kit::reason::{self, FieldViolation, Reason};
use service_kit::{database, outbox};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::CreateUserRequest;

use super::{Row, UserError, read, reset, roles, site_groups};
use crate::State;
use crate::account::{self, InsertError, NewAccount};
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use crate::email::{Email, verify};
use crate::email_code::Purpose;
use crate::password::{self, Password};
use crate::password_hash::HashError;
use crate::username::Username;

/// An account that breaks no rule.
pub struct NewUser {
    username: Username,
    email: Option<Email>,
    roles: Vec<Role>,
    site_groups: Option<Vec<String>>,
    password: Option<Password>,
}

impl TryFrom<CreateUserRequest> for NewUser {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: CreateUserRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let username = Username::parse(&request.username)
            .map_err(|problem| violations.push(FieldViolation::new("username", problem.to_string())))
            .ok();
        let email = match &request.email {
            Some(email) => Email::parse(email)
                .map_err(|problem| violations.push(FieldViolation::new("email", problem.to_string())))
                .ok(),
            None => Email::parse(&request.username).ok(),
        };
        let mut roles = roles(&request.roles)
            .map_err(|unknown| violations.extend(unknown))
            .unwrap_or_default();
        if roles.is_empty() {
            roles.push(Role::Driver);
        }
        let site_groups = site_groups::parse(request.site_groups)
            .map_err(|wrong| violations.extend(wrong))
            .unwrap_or_default();
        let password = request.password.as_deref().and_then(|text| {
            password::of_field(text, "password", username.as_ref())
                .map_err(|problems| violations.extend(problems))
                .ok()
        });
        if request.password.is_none() && request.email.is_none() && email.is_none() {
            violations.push(FieldViolation::new(
                "password",
                "is required, as there is no address to send a code to",
            ));
        }
        match username {
            Some(username) if violations.is_empty() => Ok(Self {
                username,
                email,
                roles,
                site_groups,
                password,
            }),
            _ => Err(violations),
        }
    }
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error("the username is taken")]
    UsernameTaken,
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("the event could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error(transparent)]
    User(#[from] UserError),
    #[error("the account could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<InsertError> for CreateError {
    fn from(error: InsertError) -> Self {
        match error {
            InsertError::UsernameTaken => Self::UsernameTaken,
            InsertError::Database(error) => Self::Database(error),
        }
    }
}

impl From<CreateError> for Status {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::UsernameTaken => Reason::UsernameTaken.status("Somebody else has this username"),
            CreateError::Hash(error) => error.into(),
            CreateError::Outbox(error) => reason::internal(&error),
            CreateError::User(error) => error.into(),
            CreateError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn create(state: &State, caller: &LoggedInAs, client: &Client, new: NewUser) -> Result<Row, CreateError> {
    let has_password = new.password.is_some();
    // A password that nobody knows stands in for the one that is to come.
    let password = new.password.unwrap_or_else(Password::generate);
    let hash = state.passwords.hash(password).await?;
    let (id, now) = (Uuid::now_v7(), state.clock.now());
    let mut transaction = database::begin(&state.database).await?;
    let account = NewAccount {
        id,
        username: &new.username,
        email: new.email.as_ref(),
        password: &hash,
        roles: &new.roles,
        site_groups: new.site_groups.as_deref(),
        language: None,
        created_at: now,
    };
    account::insert(&mut transaction, &account).await?;
    let roles: Vec<_> = new.roles.iter().map(|role| role.as_str()).collect();
    let mut entry = Entry::new(Action::Created, now, client)
        .by(caller.account)
        .on(id)
        .with("roles", roles);
    if let Some(groups) = &new.site_groups {
        entry = entry.with("siteGroups", groups.clone());
    }
    audit::record(&mut transaction, entry).await?;
    match &new.email {
        Some(email) if has_password => {
            let username = new.username.as_str();
            verify::request(
                &mut transaction,
                id,
                username,
                Purpose::VerifyEmail,
                email.as_str(),
                now,
            )
            .await?;
        }
        Some(email) => reset::demand(&mut transaction, id, new.username.as_str(), email.as_str(), now).await?,
        None => {}
    }
    let row = read(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(row)
}
