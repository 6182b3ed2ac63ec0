//! CALLs that operators have sent to charge points, kept in a durable ledger.
//!
//! A command is a row before it is a frame. Any replica takes it; the one that owns the charge point's session sends it,
//! and whoever waits for the outcome is woken by its commit. A process that dies, a client that hangs up or a charge point
//! that is away changes nothing about that.

pub mod asking;
pub mod call;
pub mod ended;
pub mod ledger;
mod list;
pub mod send;
pub mod several;
pub mod status;
pub mod traced;
mod view;
pub mod waiters;

use std::sync::Arc;

use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::command_service_server::CommandService;
use voltgate_proto::ocpp::v1::{
    Command, GetCommandRequest, ListCommandsRequest, ListCommandsResponse, SendCommandRequest,
};

use self::send::SendCommand;
use crate::State;
use crate::audit::Author;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl CommandService for Grpc {
    async fn send_command(&self, request: Request<SendCommandRequest>) -> Result<Response<Command>, Status> {
        let requested_by = Author::of(&request);
        let idempotency_key = send::idempotency_key(request.metadata()).map_err(reason::invalid)?;
        let command =
            SendCommand::parse(request.into_inner(), requested_by, idempotency_key).map_err(reason::invalid)?;
        let command = send::send(&self.0, command).await?;
        Ok(Response::new(command))
    }

    async fn list_commands(
        &self,
        request: Request<ListCommandsRequest>,
    ) -> Result<Response<ListCommandsResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let commands = list::list(&self.0.database, page).await?;
        Ok(Response::new(commands))
    }

    async fn get_command(&self, request: Request<GetCommandRequest>) -> Result<Response<Command>, Status> {
        let command = list::get(&self.0.database, &request.into_inner().id).await?;
        Ok(Response::new(command))
    }
}
