//! How charge points are configured: what they say of their keys, and what operators made of them.
//!
//! The charge point is the authority on what is, and an operator on what should be; where both are known and differ, that is
//! shown. The value of a key that is secret is neither stored nor shown.

pub mod change;
mod list;
pub mod report;

use std::sync::Arc;

use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::configuration_service_server::ConfigurationService;
use voltgate_proto::ocpp::v1::{ListConfigurationRequest, ListConfigurationResponse};

use crate::State;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ConfigurationService for Grpc {
    async fn list_configuration(
        &self,
        request: Request<ListConfigurationRequest>,
    ) -> Result<Response<ListConfigurationResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let configuration = list::list(&self.0.database, page).await?;
        Ok(Response::new(configuration))
    }
}
