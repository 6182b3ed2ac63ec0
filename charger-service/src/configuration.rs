//! How charge points are configured: what they say of their keys, and what operators made of them.
//!
//! The charge point is the authority on what is, and an operator on what should be; where both are known and differ,
//! that is shown. An operator states a wish, which stands; or sends a command, and what the charge point agreed to is
//! what is desired. The value of a key that is secret is neither stored nor shown.

pub mod change;
pub mod desire;
mod list;
pub mod report;
mod withdraw;

use std::sync::Arc;

use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::configuration_service_server::ConfigurationService;
use voltgate_proto::ocpp::v1::{
    ConfigurationKey, DesireConfigurationRequest, ListConfigurationRequest, ListConfigurationResponse,
    WithdrawConfigurationRequest,
};

use self::desire::Desire;
use crate::State;
use crate::audit::Author;

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

    async fn desire_configuration(
        &self,
        request: Request<DesireConfigurationRequest>,
    ) -> Result<Response<ConfigurationKey>, Status> {
        let author = Author::of(&request);
        let desire = Desire::try_from(request.into_inner()).map_err(reason::invalid)?;
        let key = desire::state(&self.0, desire, &author).await?;
        Ok(Response::new(key))
    }

    async fn withdraw_configuration(
        &self,
        request: Request<WithdrawConfigurationRequest>,
    ) -> Result<Response<()>, Status> {
        let author = Author::of(&request);
        let request = request.into_inner();
        withdraw::withdraw(&self.0, &request.identity, &request.key, &author).await?;
        Ok(Response::new(()))
    }
}
