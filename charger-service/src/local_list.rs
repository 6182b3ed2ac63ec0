//! The Local Authorization List of each charge point: whom it lets charge without asking.
//!
//! The entries here are those that the charge point has confirmed. Where it tells of a version that nobody sent it from here,
//! the entries are of another version, and that is shown; what is in that list, OCPP cannot ask.

mod get;
pub mod send;
pub mod version;

use std::sync::Arc;

use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::local_list_service_server::LocalListService;
use voltgate_proto::ocpp::v1::{GetLocalListRequest, LocalList};

use crate::State;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl LocalListService for Grpc {
    async fn get_local_list(&self, request: Request<GetLocalListRequest>) -> Result<Response<LocalList>, Status> {
        let page = get::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let local_list = get::get(&self.0.database, page).await?;
        Ok(Response::new(local_list))
    }
}
