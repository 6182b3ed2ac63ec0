//! Passkeys (WebAuthn, level 3): keys that stay on a person's device, sign for this site only, and only after the device
//! has made sure of the person. So a login with one needs no second factor, and no username: the device knows whose the
//! passkey is. Signatures, origins and flags are judged by webauthn-rs; what is kept, for whom and for how long, here.

mod challenge;
mod credential;
mod list;
mod log_in;
mod register;
mod relying_party;
mod remove;
mod rename;

use std::sync::Arc;

use service_kit::access::Client;
use service_kit::reason::{self, Reason};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::auth::v1::passkey_service_server::PasskeyService;
use voltgate_proto::auth::v1::{
    BeginPasskeyLogInRequest, BeginPasskeyRegistrationRequest, FinishPasskeyLogInRequest, ListPasskeysRequest,
    ListPasskeysResponse, Passkey, PasskeyChallenge, RegisterPasskeyRequest, RemovePasskeyRequest,
    RenamePasskeyRequest, TokenResponse,
};

pub use self::challenge::remove_expired;
pub use self::relying_party::{Misconfigured, RelyingParty};

use self::log_in::Assertion;
use self::register::NewPasskey;
use crate::State;
use crate::caller::{LoggedInAs, Reader};
use crate::credential::proof::Proof;
use crate::name::Name;

/// More than anybody has devices.
const MOST_OF_ONE_ACCOUNT: usize = 20;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl PasskeyService for Grpc {
    async fn begin_passkey_registration(
        &self,
        request: Request<BeginPasskeyRegistrationRequest>,
    ) -> Result<Response<PasskeyChallenge>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let request = request.into_inner();
        let proof = Proof::new(request.password, request.code).map_err(reason::invalid)?;
        let challenge = register::begin(&self.0, &caller, proof, &client).await?;
        Ok(Response::new(challenge))
    }

    async fn register_passkey(&self, request: Request<RegisterPasskeyRequest>) -> Result<Response<Passkey>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let new = NewPasskey::try_from(request.into_inner()).map_err(reason::invalid)?;
        let passkey = register::finish(&self.0, &caller, new, &client).await?;
        Ok(Response::new(passkey))
    }

    async fn list_passkeys(
        &self,
        request: Request<ListPasskeysRequest>,
    ) -> Result<Response<ListPasskeysResponse>, Status> {
        let caller = Reader::of(&request)?;
        let passkeys = list::list(&self.0, caller.account).await?;
        Ok(Response::new(ListPasskeysResponse { passkeys }))
    }

    async fn rename_passkey(&self, request: Request<RenamePasskeyRequest>) -> Result<Response<Passkey>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let request = request.into_inner();
        let id = id(&request.passkey_id)?;
        let name = Name::parse(&request.name).map_err(|violation| reason::invalid(vec![violation]))?;
        let passkey = rename::rename(&self.0, &caller, id, &name, &client).await?;
        Ok(Response::new(passkey))
    }

    async fn remove_passkey(&self, request: Request<RemovePasskeyRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let request = request.into_inner();
        let id = id(&request.passkey_id)?;
        let proof = Proof::new(request.password, request.code).map_err(reason::invalid)?;
        remove::remove(&self.0, &caller, id, proof, &client).await?;
        Ok(Response::new(()))
    }

    async fn begin_passkey_log_in(
        &self,
        request: Request<BeginPasskeyLogInRequest>,
    ) -> Result<Response<PasskeyChallenge>, Status> {
        let client = Client::of(&request);
        Ok(Response::new(log_in::begin(&self.0, &client).await?))
    }

    async fn finish_passkey_log_in(
        &self,
        request: Request<FinishPasskeyLogInRequest>,
    ) -> Result<Response<TokenResponse>, Status> {
        let client = Client::of(&request);
        let assertion = Assertion::try_from(request.into_inner()).map_err(reason::invalid)?;
        let logged_in = log_in::finish(&self.0, assertion, &client).await?;
        Ok(Response::new(logged_in.into()))
    }
}

fn id(text: &str) -> Result<Uuid, Status> {
    Uuid::parse_str(text).map_err(|_| not_found())
}

fn not_found() -> Status {
    Reason::NotFound.status("You have no such passkey")
}
