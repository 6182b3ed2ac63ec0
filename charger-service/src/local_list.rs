//! The Local Authorization List of each charge point: whom it lets charge without asking.
//!
//! The entries here are those that the charge point has confirmed. Where it tells of a version that nobody sent it from
//! here, the entries are of another version, and that is shown; what is in that list, OCPP cannot ask.
//!
//! Beside them is what an operator wants the list to hold, by the tokens as they are registered at the moment. It is
//! brought to the charge point by commands, each of which is filled when it leaves and followed by the next when it is
//! answered.

mod desire;
pub mod due;
pub mod fill;
mod get;
pub mod send;
pub mod synchronize;
pub mod version;
pub mod wanted;
mod withdraw;

use std::sync::Arc;

use service_kit::reason;
use service_kit::version::IfMatch;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::local_list_service_server::LocalListService;
use voltgate_proto::ocpp::v1::{
    DesireLocalListRequest, GetLocalListRequest, LocalList, SynchronizeLocalListRequest, WithdrawLocalListRequest,
};

use self::desire::Desire;
use self::get::Page;
use crate::State;
use crate::audit::Author;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl LocalListService for Grpc {
    async fn get_local_list(&self, request: Request<GetLocalListRequest>) -> Result<Response<LocalList>, Status> {
        let page = Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let local_list = get::get(&self.0, page).await?;
        Ok(local_list.into())
    }

    async fn desire_local_list(&self, request: Request<DesireLocalListRequest>) -> Result<Response<LocalList>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let desire = Desire::try_from(request.into_inner()).map_err(reason::invalid)?;
        desire::state(&self.0, &desire, &if_match, &author).await?;
        Ok(get::get(&self.0, Page::first(desire.identity)).await?.into())
    }

    async fn withdraw_local_list(&self, request: Request<WithdrawLocalListRequest>) -> Result<Response<()>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        withdraw::withdraw(&self.0, &request.into_inner().identity, &if_match, &author).await?;
        Ok(Response::new(()))
    }

    async fn synchronize_local_list(
        &self,
        request: Request<SynchronizeLocalListRequest>,
    ) -> Result<Response<LocalList>, Status> {
        let author = Author::of(&request);
        let identity = request.into_inner().identity;
        synchronize::synchronize(&self.0, &identity, &author).await?;
        Ok(get::get(&self.0, Page::first(identity)).await?.into())
    }
}
