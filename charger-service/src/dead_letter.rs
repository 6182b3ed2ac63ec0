//! Dead letters of charger-service ([`service_kit::dead_letter`]): events that it hears and could not take in, and what an
//! administrator decides about them.

mod delete;
mod list;
mod redrive;

use std::sync::Arc;

use service_kit::dead_letter::{Page, parse_id};
use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::charger_dead_letter_service_server::ChargerDeadLetterService;
use voltgate_proto::ocpp::v1::{
    DeadLetter, DeleteDeadLetterRequest, GetDeadLetterRequest, ListDeadLettersRequest, ListDeadLettersResponse,
    RedriveDeadLetterRequest, RedriveDeadLetterResponse,
};

use crate::State;
use crate::audit::Author;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ChargerDeadLetterService for Grpc {
    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let request = request.into_inner();
        let page = Page::parse(request.page_size, &request.page_token, request.r#type).map_err(reason::invalid)?;
        Ok(Response::new(list::list(&self.0.database, page).await?))
    }

    async fn get_dead_letter(&self, request: Request<GetDeadLetterRequest>) -> Result<Response<DeadLetter>, Status> {
        let id = parse_id(&request.into_inner().id)?;
        Ok(Response::new(list::get(&self.0.database, id).await?))
    }

    async fn redrive_dead_letter(
        &self,
        request: Request<RedriveDeadLetterRequest>,
    ) -> Result<Response<RedriveDeadLetterResponse>, Status> {
        let (author, id) = (Author::of(&request), parse_id(&request.get_ref().id)?);
        let taken_in = redrive::redrive(&self.0, id, &author).await?;
        Ok(Response::new(RedriveDeadLetterResponse { taken_in }))
    }

    async fn delete_dead_letter(&self, request: Request<DeleteDeadLetterRequest>) -> Result<Response<()>, Status> {
        let (author, id) = (Author::of(&request), parse_id(&request.get_ref().id)?);
        delete::delete(&self.0, id, &author).await?;
        Ok(Response::new(()))
    }
}
