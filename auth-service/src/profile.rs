//! The profile: what an account knows about itself, and may change.

mod erase;
mod export;
mod update;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::access::Client;
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::{self, Reason};
use service_kit::version::{IfMatch, Versioned};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::auth::v1::profile_service_server::ProfileService;
use voltgate_proto::auth::v1::{
    EraseAccountRequest, ExportAccountRequest, GetProfileRequest, Profile, UpdateProfileRequest,
};
use voltgate_proto::google::api::HttpBody;

use self::update::Change;
use crate::State;
use crate::caller::{LoggedInAs, Reader};
use crate::credential::proof::Proof;

struct Row {
    id: Uuid,
    username: String,
    email: Option<String>,
    email_verified_at: Option<DateTime<Utc>>,
    roles: Vec<String>,
    language: Option<String>,
    created_at: DateTime<Utc>,
    revision: i64,
}

#[derive(Debug, Error)]
pub enum ProfileError {
    /// The token is valid, its account is gone.
    #[error("the account does not exist any more")]
    Gone,
    #[error("the account could not be looked up")]
    Database(#[from] sqlx::Error),
}

async fn read(connection: &mut PgConnection, account: Uuid) -> Result<Row, ProfileError> {
    sqlx::query_as!(
        Row,
        "SELECT id, username, email, email_verified_at, roles, language, created_at, revision
         FROM authentication.account WHERE id = $1",
        account
    )
    .fetch_optional(connection)
    .await?
    .ok_or(ProfileError::Gone)
}

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ProfileService for Grpc {
    async fn get_profile(&self, request: Request<GetProfileRequest>) -> Result<Response<Profile>, Status> {
        let caller = Reader::of(&request)?;
        let mut connection = database::begin(&self.0.database).await.map_err(ProfileError::from)?;
        let row = read(&mut connection, caller.account).await?;
        Ok(Versioned::from(row).into())
    }

    async fn update_profile(&self, request: Request<UpdateProfileRequest>) -> Result<Response<Profile>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let if_match = IfMatch::of(&request)?;
        let change = Change::try_from(request.into_inner()).map_err(reason::invalid)?;
        let row = update::update(&self.0, &caller, &client, change, &if_match).await?;
        Ok(Versioned::from(row).into())
    }

    async fn erase_account(&self, request: Request<EraseAccountRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let request = request.into_inner();
        let proof = Proof::new(request.password, request.code).map_err(reason::invalid)?;
        erase::erase(&self.0, &caller, &client, proof).await?;
        Ok(Response::new(()))
    }

    async fn export_account(&self, request: Request<ExportAccountRequest>) -> Result<Response<HttpBody>, Status> {
        let caller = LoggedInAs::of(&request)?;
        let document = export::export(&self.0, caller.account).await?;
        Ok(Response::new(HttpBody {
            content_type: "application/json".to_owned(),
            data: document.to_string().into(),
            extensions: Vec::new(),
        }))
    }
}

impl From<Row> for Versioned<Profile> {
    fn from(row: Row) -> Self {
        let revision = row.revision;
        let profile = Profile {
            id: row.id.to_string(),
            username: row.username,
            email: row.email,
            roles: row.roles,
            created_at: Some(timestamp(row.created_at)),
            language: row.language,
            email_verified: row.email_verified_at.is_some(),
        };
        Self::new(profile, revision)
    }
}

impl From<ProfileError> for Status {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Gone => Reason::InvalidToken.status("The account of this access token is gone"),
            ProfileError::Database(error) => database::failed(&error),
        }
    }
}
