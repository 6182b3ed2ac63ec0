//! The second factor: what a login asks for after the password, where its account has an authenticator app.

pub mod challenge;
pub mod code;
mod recovery;
mod remove;
mod set_up;
mod status;

use std::sync::Arc;

use service_kit::access::Client;
use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::auth::v1::second_factor_service_server::SecondFactorService;
use voltgate_proto::auth::v1::{
    BeginTotpRequest, ConfirmTotpRequest, FinishLogInRequest, GetRecoveryCodesRequest, GetSecondFactorsRequest,
    RecoveryCodes, RecoveryCodesLeft, RemoveTotpRequest, RenewRecoveryCodesRequest, SecondFactors, TokenResponse,
    TotpSetup,
};

use self::challenge::Answer;
use crate::State;
use crate::caller::{LoggedInAs, Reader};
use crate::credential::proof::Proof;
use crate::recovery_code::RecoveryCode;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl SecondFactorService for Grpc {
    async fn finish_log_in(&self, request: Request<FinishLogInRequest>) -> Result<Response<TokenResponse>, Status> {
        let client = Client::of(&request);
        let answer = Answer::try_from(request.into_inner()).map_err(reason::invalid)?;
        let logged_in = challenge::finish(&self.0, &answer, &client).await?;
        Ok(Response::new(logged_in.into()))
    }

    async fn get_second_factors(
        &self,
        request: Request<GetSecondFactorsRequest>,
    ) -> Result<Response<SecondFactors>, Status> {
        let caller = Reader::of(&request)?;
        Ok(Response::new(status::status(&self.0, caller.account).await?))
    }

    async fn begin_totp(&self, request: Request<BeginTotpRequest>) -> Result<Response<TotpSetup>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let proof = Proof::by_password(request.into_inner().password).map_err(reason::invalid)?;
        let set_up = set_up::begin(&self.0, &caller, proof, &client).await?;
        Ok(Response::new(set_up))
    }

    async fn confirm_totp(&self, request: Request<ConfirmTotpRequest>) -> Result<Response<RecoveryCodes>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let code = set_up::code(request.into_inner()).map_err(reason::invalid)?;
        let codes = set_up::confirm(&self.0, &caller, &code, &client).await?;
        Ok(Response::new(shown(&codes)))
    }

    async fn remove_totp(&self, request: Request<RemoveTotpRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let request = request.into_inner();
        let proof = Proof::by_password_and_code(request.password, request.code).map_err(reason::invalid)?;
        remove::remove(&self.0, &caller, proof, &client).await?;
        Ok(Response::new(()))
    }

    async fn get_recovery_codes(
        &self,
        request: Request<GetRecoveryCodesRequest>,
    ) -> Result<Response<RecoveryCodesLeft>, Status> {
        let caller = Reader::of(&request)?;
        Ok(Response::new(recovery::left(&self.0, caller.account).await?))
    }

    async fn renew_recovery_codes(
        &self,
        request: Request<RenewRecoveryCodesRequest>,
    ) -> Result<Response<RecoveryCodes>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let request = request.into_inner();
        let proof = Proof::by_password_and_code(request.password, request.code).map_err(reason::invalid)?;
        let codes = recovery::renew(&self.0, &caller, proof, &client).await?;
        Ok(Response::new(shown(&codes)))
    }
}

fn shown(codes: &[RecoveryCode]) -> RecoveryCodes {
    RecoveryCodes {
        codes: codes.iter().map(ToString::to_string).collect(),
    }
}
