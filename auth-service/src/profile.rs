//! The profile: what an account may read about itself.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use thiserror::Error;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::auth::v1::profile_service_server::ProfileService;
use voltgate_proto::auth::v1::{self as proto, GetProfileRequest};

use crate::State;
use crate::caller::LoggedInAs;

pub struct Profile {
    pub id: Uuid,
    pub username: String,
    pub email: Option<String>,
    pub roles: Vec<String>,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Error)]
pub enum ProfileError {
    /// The token is valid, its account is gone.
    #[error("the account does not exist any more")]
    Gone,
    #[error("the account could not be looked up")]
    Database(#[from] sqlx::Error),
}

pub async fn profile(state: &State, account: Uuid) -> Result<Profile, ProfileError> {
    let mut connection = database::begin(&state.database).await?;
    sqlx::query_as!(
        Profile,
        "SELECT id, username, email, roles, created_at FROM authentication.account WHERE id = $1",
        account
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(ProfileError::Gone)
}

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ProfileService for Grpc {
    async fn get_profile(&self, request: Request<GetProfileRequest>) -> Result<Response<proto::Profile>, Status> {
        let caller = LoggedInAs::of(&request)?;
        let profile = profile(&self.0, caller.account).await?;
        Ok(Response::new(profile.into()))
    }
}

impl From<Profile> for proto::Profile {
    fn from(profile: Profile) -> Self {
        Self {
            id: profile.id.to_string(),
            username: profile.username,
            email: profile.email,
            roles: profile.roles,
            created_at: Some(timestamp(profile.created_at)),
        }
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
