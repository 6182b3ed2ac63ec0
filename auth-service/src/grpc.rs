//! `voltgate.auth.v1.AuthService` as tonic serves it. Each method converts, calls the rule and maps the error; which
//! reason an error is for callers stands here and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::{self, Reason};
use tonic::{Request, Response, Status};
use voltgate_proto::auth::v1::auth_service_server::AuthService;
use voltgate_proto::auth::v1::{
    GetDiscoveryRequest, GetHealthRequest, GetJwksRequest, LogInRequest, LogInResponse, LogOutRequest, RefreshRequest,
    ServiceHealth, SignUpRequest, TokenResponse,
};
use voltgate_proto::google::api::HttpBody;

use crate::caller::LoggedInAs;
use crate::discovery;
use crate::login::{self, Credentials, LogInError, Outcome};
use crate::password_hash::HashError;
use crate::session::refresh;
use crate::signup::{self, SignUp, SignUpError};
use crate::{State, logout};

/// How long a caller who was sent away should wait: by then the queue of hashes has moved on.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl AuthService for Grpc {
    async fn sign_up(&self, request: Request<SignUpRequest>) -> Result<Response<TokenResponse>, Status> {
        let (client, metadata) = (Client::of(&request), request.metadata().clone());
        let new = SignUp::try_from(request.into_inner()).map_err(reason::invalid)?;
        let new = new.in_language_of(&metadata);
        let logged_in = signup::sign_up(&self.0, new, &client).await?;
        Ok(Response::new(logged_in.into()))
    }

    async fn log_in(&self, request: Request<LogInRequest>) -> Result<Response<LogInResponse>, Status> {
        let client = Client::of(&request);
        let credentials = Credentials::try_from(request.into_inner()).map_err(reason::invalid)?;
        let outcome = login::log_in(&self.0, credentials, &client).await?;
        Ok(Response::new(outcome.into()))
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Result<Response<TokenResponse>, Status> {
        let client = Client::of(&request);
        let token = refresh::token_of(request.into_inner()).map_err(reason::invalid)?;
        let logged_in = refresh::refresh(&self.0, &token, &client).await?;
        Ok(Response::new(logged_in.into()))
    }

    async fn log_out(&self, request: Request<LogOutRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let which = logout::which(&request.into_inner(), &caller).map_err(reason::invalid)?;
        logout::log_out(&self.0, &caller, &client, which).await?;
        Ok(Response::new(()))
    }

    async fn get_health(&self, _: Request<GetHealthRequest>) -> Result<Response<ServiceHealth>, Status> {
        let health = *self.0.health.borrow();
        Ok(Response::new(health.into()))
    }

    async fn get_discovery(&self, _: Request<GetDiscoveryRequest>) -> Result<Response<HttpBody>, Status> {
        let document = discovery::document(&self.0.tokens.issuer)
            .ok_or_else(|| Reason::NotFound.status("The issuer of this installation's tokens is not an https URL"))?;
        Ok(Response::new(HttpBody {
            content_type: "application/json".to_owned(),
            data: document.to_string().into(),
            extensions: Vec::new(),
        }))
    }

    async fn get_jwks(&self, _: Request<GetJwksRequest>) -> Result<Response<HttpBody>, Status> {
        let keys = serde_json::to_vec(&self.0.tokens.keys.known().jwks()).map_err(|error| reason::internal(&error))?;
        let content_type = "application/jwk-set+json".to_owned();
        Ok(Response::new(HttpBody {
            content_type,
            data: keys.into(),
            extensions: Vec::new(),
        }))
    }
}

impl From<Outcome> for LogInResponse {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::LoggedIn(logged_in) => {
                let tokens = TokenResponse::from(logged_in);
                Self {
                    id: Some(tokens.id),
                    username: Some(tokens.username),
                    access_token: Some(tokens.access_token),
                    token_type: Some(tokens.token_type),
                    expires_in: Some(tokens.expires_in),
                    refresh_token: Some(tokens.refresh_token),
                    second_factor: None,
                }
            }
            Outcome::SecondFactor(required) => Self {
                second_factor: Some(required),
                ..Self::default()
            },
        }
    }
}

impl From<SignUpError> for Status {
    fn from(error: SignUpError) -> Self {
        match error {
            SignUpError::UsernameTaken => Reason::UsernameTaken.status("Somebody else has this username"),
            SignUpError::Throttled(error) => error.into(),
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
            LogInError::PasswordResetRequired => Reason::PasswordResetRequired
                .status("An administrator demands another password: use the way for forgotten ones"),
            LogInError::Throttled(error) => error.into(),
            LogInError::Hash(error) => error.into(),
            LogInError::SecondFactor(error) => error.into(),
            LogInError::SignIn(error) => error.into(),
            LogInError::Database(error) => database::failed(&error),
        }
    }
}

impl From<HashError> for Status {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Overloaded => {
                Reason::Overloaded.retry_after(RETRY_AFTER, "Too many people are logging in just now; try again")
            }
            HashError::Argon2(_) | HashError::Form(_) | HashError::NotPhc(_) | HashError::Thread(_) => {
                reason::internal(&error)
            }
        }
    }
}
