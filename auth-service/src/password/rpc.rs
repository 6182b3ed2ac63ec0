//! `voltgate.auth.v1.PasswordService` as tonic serves it.

use std::sync::Arc;

use service_kit::access::Client;
use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::auth::v1::password_service_server::PasswordService;
use voltgate_proto::auth::v1::{ChangePasswordRequest, ForgotPasswordRequest, ResetPasswordRequest};

use super::{change, forgotten, reset};
use crate::State;
use crate::caller::LoggedInAs;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl PasswordService for Grpc {
    async fn change_password(&self, request: Request<ChangePasswordRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        change::change(&self.0, &caller, &client, request.into_inner()).await?;
        Ok(Response::new(()))
    }

    async fn forgot_password(&self, request: Request<ForgotPasswordRequest>) -> Result<Response<()>, Status> {
        let client = Client::of(&request);
        let email = forgotten::address(&request.into_inner().email).map_err(reason::invalid)?;
        forgotten::forgotten(&self.0, &email, &client).await?;
        Ok(Response::new(()))
    }

    async fn reset_password(&self, request: Request<ResetPasswordRequest>) -> Result<Response<()>, Status> {
        let client = Client::of(&request);
        reset::reset(&self.0, request.into_inner(), &client).await?;
        Ok(Response::new(()))
    }
}
