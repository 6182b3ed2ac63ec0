//! API keys: by these, programs act for an account, without its password and no further than they need. Whoever is shown
//! a key exchanges it here for an access token of a few minutes, and verifies that like any other.

mod create;
pub mod exchange;
mod list;
pub mod revoke;

use std::sync::Arc;

use service_kit::access::Client;
use service_kit::reason::{self, Reason};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::auth::v1::api_key_service_server::ApiKeyService;
use voltgate_proto::auth::v1::{
    CreateApiKeyRequest, CreatedApiKey, ListApiKeysRequest, ListApiKeysResponse, ListUserApiKeysRequest,
    RevokeApiKeyRequest, RevokeUserApiKeyRequest,
};

use self::create::NewKey;
use crate::State;
use crate::caller::{LoggedInAs, Reader};

/// Keys of one account, those included that expired of late.
const MOST_OF_ONE_ACCOUNT: i64 = 50;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ApiKeyService for Grpc {
    async fn create_api_key(&self, request: Request<CreateApiKeyRequest>) -> Result<Response<CreatedApiKey>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let now = self.0.clock.now();
        let new = NewKey::parse(request.into_inner(), &self.0.scopes, now).map_err(reason::invalid)?;
        let created = create::create(&self.0, &caller, &client, new, now).await?;
        Ok(Response::new(created))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let caller = Reader::of(&request)?;
        let api_keys = list::list(&self.0, caller.account).await?;
        Ok(Response::new(ListApiKeysResponse { api_keys }))
    }

    async fn revoke_api_key(&self, request: Request<RevokeApiKeyRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let key = id(&request.into_inner().api_key_id)?;
        revoke::revoke(&self.0, &caller, &client, caller.account, key).await?;
        Ok(Response::new(()))
    }

    async fn list_user_api_keys(
        &self,
        request: Request<ListUserApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let account = account(&request.into_inner().user_id)?;
        let api_keys = list::list_of(&self.0, account).await?;
        Ok(Response::new(ListApiKeysResponse { api_keys }))
    }

    async fn revoke_user_api_key(&self, request: Request<RevokeUserApiKeyRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let request = request.into_inner();
        let (account, key) = (account(&request.user_id)?, id(&request.api_key_id)?);
        revoke::revoke(&self.0, &caller, &client, account, key).await?;
        Ok(Response::new(()))
    }
}

fn id(text: &str) -> Result<Uuid, Status> {
    Uuid::parse_str(text).map_err(|_| not_found())
}

fn account(text: &str) -> Result<Uuid, Status> {
    Uuid::parse_str(text).map_err(|_| no_such_account())
}

fn not_found() -> Status {
    Reason::NotFound.status("There is no such API key")
}

fn no_such_account() -> Status {
    Reason::NotFound.status("There is no such account")
}
