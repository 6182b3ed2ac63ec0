//! Accounts as administrators see them.

mod create;
mod erase;
mod list;
mod reset;
mod site_groups;
mod update;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::access::{Client, Role};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::{self, FieldViolation, Reason};
use service_kit::version::{IfMatch, Versioned};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::auth::v1::user_service_server::UserService;
use voltgate_proto::auth::v1::{
    CreateUserRequest, EraseUserRequest, ForcePasswordResetRequest, GetUserRequest, ListSessionsResponse,
    ListUserSessionsRequest, ListUsersRequest, ListUsersResponse, RevokeUserSessionsRequest, UpdateUserRequest, User,
};

use self::create::NewUser;
use self::update::Change;
use crate::State;
use crate::account;
use crate::audit::{self, Action, Entry};
use crate::caller::{LoggedInAs, Reader};
use crate::session;
use crate::session::end::{self, Which};

/// A row of `authentication.account`.
struct Row {
    id: Uuid,
    username: String,
    username_key: String,
    email: Option<String>,
    email_verified_at: Option<DateTime<Utc>>,
    roles: Vec<String>,
    site_groups: Option<Vec<String>>,
    disabled_at: Option<DateTime<Utc>>,
    password_reset_required: bool,
    created_at: DateTime<Utc>,
    revision: i64,
}

#[derive(Debug, Error)]
pub enum UserError {
    #[error("there is no such account")]
    NotFound,
    #[error("the account could not be looked up")]
    Database(#[from] sqlx::Error),
}

impl From<UserError> for Status {
    fn from(error: UserError) -> Self {
        match error {
            UserError::NotFound => Reason::NotFound.status("There is no such account"),
            UserError::Database(error) => database::failed(&error),
        }
    }
}

/// The account that a path names. What is no UUID names none.
fn id(text: &str) -> Result<Uuid, UserError> {
    Uuid::parse_str(text).map_err(|_| UserError::NotFound)
}

async fn read(connection: &mut PgConnection, account: Uuid) -> Result<Row, UserError> {
    sqlx::query_as!(
        Row,
        "SELECT id, username, username_key, email, email_verified_at, roles, site_groups, disabled_at, password_reset_required,
                created_at, revision
         FROM authentication.account WHERE id = $1",
        account
    )
    .fetch_optional(connection)
    .await?
    .ok_or(UserError::NotFound)
}

/// The same, and nobody else changes the account before the transaction is over.
async fn lock(connection: &mut PgConnection, account: Uuid) -> Result<Row, UserError> {
    account::lock(connection, account).await?;
    read(connection, account).await
}

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl UserService for Grpc {
    async fn create_user(&self, request: Request<CreateUserRequest>) -> Result<Response<User>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let new = NewUser::try_from(request.into_inner()).map_err(reason::invalid)?;
        let row = create::create(&self.0, &caller, &client, new).await?;
        Ok(Versioned::from(row).into())
    }

    async fn list_users(&self, request: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let users = list::list(&self.0.database, page).await?;
        Ok(Response::new(users))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        let account = id(&request.into_inner().user_id)?;
        let mut connection = database::begin(&self.0.database).await.map_err(UserError::from)?;
        let row = read(&mut connection, account).await?;
        Ok(Versioned::from(row).into())
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Result<Response<User>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let if_match = IfMatch::of(&request)?;
        let request = request.into_inner();
        let account = id(&request.user_id)?;
        let change = Change::try_from(request).map_err(reason::invalid)?;
        let row = update::update(&self.0, &caller, &client, account, change, &if_match).await?;
        Ok(Versioned::from(row).into())
    }

    async fn erase_user(&self, request: Request<EraseUserRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let account = id(&request.into_inner().user_id)?;
        erase::erase(&self.0, &caller, &client, account).await?;
        Ok(Response::new(()))
    }

    async fn force_password_reset(&self, request: Request<ForcePasswordResetRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let account = id(&request.into_inner().user_id)?;
        reset::force(&self.0, &caller, &client, account).await?;
        Ok(Response::new(()))
    }

    async fn list_user_sessions(
        &self,
        request: Request<ListUserSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let caller = Reader::of(&request)?;
        let account = id(&request.into_inner().user_id)?;
        let mut connection = database::begin(&self.0.database).await.map_err(UserError::from)?;
        read(&mut connection, account).await?;
        drop(connection);
        let sessions = session::list::list(&self.0, account, caller.session).await?;
        Ok(Response::new(ListSessionsResponse { sessions }))
    }

    async fn revoke_user_sessions(&self, request: Request<RevokeUserSessionsRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let account = id(&request.into_inner().user_id)?;
        revoke_sessions(&self.0, &caller, &client, account).await?;
        Ok(Response::new(()))
    }
}

async fn revoke_sessions(state: &State, caller: &LoggedInAs, client: &Client, account: Uuid) -> Result<(), UserError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    read(&mut transaction, account).await?;
    let ended = end::end(&mut transaction, state, account, Which::All).await?;
    let entry = Entry::new(Action::SessionsEnded, now, client)
        .by(caller.account)
        .on(account)
        .with("sessions", ended);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            username: row.username,
            email: row.email,
            email_verified: row.email_verified_at.is_some(),
            roles: row.roles,
            site_groups: row.site_groups.unwrap_or_default(),
            disabled: row.disabled_at.is_some(),
            password_reset_required: row.password_reset_required,
            created_at: Some(timestamp(row.created_at)),
        }
    }
}

impl From<Row> for Versioned<User> {
    fn from(row: Row) -> Self {
        let revision = row.revision;
        Self::new(row.into(), revision)
    }
}

/// The roles of a request, each once.
///
/// # Errors
/// All that are unknown.
pub fn roles(names: &[String]) -> Result<Vec<Role>, Vec<FieldViolation>> {
    let (mut roles, mut violations): (Vec<Role>, Vec<FieldViolation>) = Default::default();
    for (index, name) in names.iter().enumerate() {
        match Role::parse(name) {
            Some(role) if roles.contains(&role) => {}
            Some(role) => roles.push(role),
            None => violations.push(FieldViolation::new(
                format!("roles[{index}]"),
                "must be `admin`, `operator` or `driver`",
            )),
        }
    }
    if violations.is_empty() {
        Ok(roles)
    } else {
        Err(violations)
    }
}
