//! The log of what charge points and Voltgate said to each other.

mod list;
pub mod partitions;
pub mod record;
pub mod routine;

use std::sync::Arc;

use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::message_service_server::MessageService;
use voltgate_proto::ocpp::v1::{ListMessagesRequest, ListMessagesResponse};

use crate::State;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl MessageService for Grpc {
    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let messages = list::list(&self.0.database, page).await?;
        Ok(Response::new(messages))
    }
}
