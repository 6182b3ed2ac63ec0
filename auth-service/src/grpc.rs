//! `voltgate.auth.v1.AuthService` as tonic serves it. Each method converts, calls the rule and maps the error; which
//! reason an error is for callers stands here and nowhere else.

use std::time::Duration;

use service_kit::access::Caller;
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::{self, Reason};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::auth::v1::auth_service_server::AuthService;
use voltgate_proto::auth::v1::{
    GetJwksRequest, GetProfileRequest, LogInRequest, Profile as ProfileResponse, SignUpRequest, TokenResponse,
};
use voltgate_proto::google::api::HttpBody;

use crate::State;
use crate::login::{self, Credentials, LogInError};
use crate::password_hash::HashError;
use crate::profile::{self, Profile, ProfileError};
use crate::session::{LoggedIn, SessionError};
use crate::signup::{self, SignUp, SignUpError};

/// How long a caller who was sent away should wait: by then the queue of hashes has moved on.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub struct Grpc {
    pub state: State,
}

#[tonic::async_trait]
impl AuthService for Grpc {
    async fn sign_up(&self, request: Request<SignUpRequest>) -> Result<Response<TokenResponse>, Status> {
        let new = SignUp::try_from(request.into_inner()).map_err(reason::invalid)?;
        let logged_in = signup::sign_up(&self.state, new).await?;
        Ok(Response::new(logged_in.into()))
    }

    async fn log_in(&self, request: Request<LogInRequest>) -> Result<Response<TokenResponse>, Status> {
        let credentials = Credentials::try_from(request.into_inner()).map_err(reason::invalid)?;
        let logged_in = login::log_in(&self.state, credentials).await?;
        Ok(Response::new(logged_in.into()))
    }

    async fn get_profile(&self, request: Request<GetProfileRequest>) -> Result<Response<ProfileResponse>, Status> {
        let account = account(&request)?;
        let profile = profile::profile(&self.state, account).await?;
        Ok(Response::new(profile.into()))
    }

    async fn get_jwks(&self, _: Request<GetJwksRequest>) -> Result<Response<HttpBody>, Status> {
        let keys = serde_json::to_vec(&self.state.tokens.keys.jwks()).map_err(|error| reason::internal(&error))?;
        let content_type = "application/jwk-set+json".to_owned();
        Ok(Response::new(HttpBody {
            content_type,
            data: keys.into(),
            extensions: Vec::new(),
        }))
    }
}

/// The account that calls. The access layer lets nobody else through to where this is asked.
fn account<T>(request: &Request<T>) -> Result<Uuid, Status> {
    match Caller::of(request) {
        Caller::Account { id, .. } => Ok(id),
        Caller::Anonymous | Caller::Service { .. } => {
            Err(Reason::MissingCredentials.status("An access token is required"))
        }
    }
}

impl From<LoggedIn> for TokenResponse {
    fn from(logged_in: LoggedIn) -> Self {
        Self {
            id: logged_in.account.id.to_string(),
            username: logged_in.account.username,
            access_token: logged_in.access_token,
            token_type: "Bearer".to_owned(),
            expires_in: i32::try_from(logged_in.expires_in.as_secs()).unwrap_or(i32::MAX),
        }
    }
}

impl From<Profile> for ProfileResponse {
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

impl From<SignUpError> for Status {
    fn from(error: SignUpError) -> Self {
        match error {
            SignUpError::UsernameTaken => Reason::UsernameTaken.status("Somebody else has this username"),
            SignUpError::Hash(error) => error.into(),
            SignUpError::Session(error) => error.into(),
            SignUpError::Outbox(error) => reason::internal(&error),
            SignUpError::Database(error) => database::failed(&error),
        }
    }
}

impl From<LogInError> for Status {
    fn from(error: LogInError) -> Self {
        match error {
            LogInError::InvalidCredentials => {
                Reason::InvalidCredentials.status("There is no account with this username and password")
            }
            LogInError::Hash(error) => error.into(),
            LogInError::Session(error) => error.into(),
            LogInError::Database(error) => database::failed(&error),
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

impl From<HashError> for Status {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Overloaded => {
                Reason::Overloaded.retry_after(RETRY_AFTER, "Too many people are logging in just now; try again")
            }
            HashError::Argon2(_) | HashError::NotPhc(_) | HashError::Thread(_) => reason::internal(&error),
        }
    }
}

impl From<SessionError> for Status {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Token(_) => reason::internal(&error),
            SessionError::Database(error) => database::failed(&error),
        }
    }
}
