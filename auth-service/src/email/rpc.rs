//! `voltgate.auth.v1.EmailAddressService` as tonic serves it.

use std::sync::Arc;

use service_kit::access::Client;
use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::auth::v1::email_address_service_server::EmailAddressService;
use voltgate_proto::auth::v1::{ChangeEmailRequest, ResendVerificationRequest, VerifyEmailRequest};

use super::change::{self, Change};
use super::verify;
use crate::State;
use crate::caller::LoggedInAs;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl EmailAddressService for Grpc {
    async fn verify_email(&self, request: Request<VerifyEmailRequest>) -> Result<Response<()>, Status> {
        let client = Client::of(&request);
        verify::verify(&self.0, &request.into_inner().code, &client).await?;
        Ok(Response::new(()))
    }

    async fn resend_verification(&self, request: Request<ResendVerificationRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        verify::resend(&self.0, caller.account, &client).await?;
        Ok(Response::new(()))
    }

    async fn change_email(&self, request: Request<ChangeEmailRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let change = Change::try_from(request.into_inner()).map_err(reason::invalid)?;
        change::ask(&self.0, &caller, &client, change).await?;
        Ok(Response::new(()))
    }
}
